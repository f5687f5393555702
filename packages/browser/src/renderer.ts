let renderer: string | null | undefined;

/** What draws WebGL2 in this browser; `null` where it can't be asked. */
export function webGlRenderer(): string | null {
  return (renderer ??= askRenderer());
}

function askRenderer(): string | null {
  // Pages without it have no WebGL in workers either, where models are by default.
  const gl = typeof OffscreenCanvas === 'function' ? new OffscreenCanvas(1, 1).getContext('webgl2') : null;
  if (!gl) return null;
  const unmasked = gl.getExtension('WEBGL_debug_renderer_info');
  const name = String(gl.getParameter(unmasked?.UNMASKED_RENDERER_WEBGL ?? gl.RENDERER));
  // A page has few contexts.
  gl.getExtension('WEBGL_lose_context')?.loseContext();
  return name;
}
