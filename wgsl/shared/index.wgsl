// Workgroups beyond a dimension's limit are folded into rows of grid_x.
fn flat_workgroup(wid: vec3<u32>, grid_x: u32) -> u32 {
  return wid.y * grid_x + wid.x;
}
