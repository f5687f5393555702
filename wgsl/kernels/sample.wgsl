// The next token as pipeline/sampler.ts chooses it: repetition penalty on the ids whose bit is set in `seen`, temperature
// (0: the most likely), top-k with those as likely as the last, top-p (the fewest from the most likely down, of equal ones
// the lower id first), min-p; then the token where the sum of the weights in the order of ids passes run.draw of it all.
// logits [n] at p.offset, n < 2^18. The token goes to ids[ids_offset], token[0] and `seen`; when a logit is NaN or
// +infinity, or all are -infinity: token BAD, id 0.
// One workgroup; 5.3 KiB. No sort: top-k and top-p find the key of the last token kept by four histograms of 8 bits.
// Sums that many invocations add to are whole numbers, others have a fixed order: the same input gives the same token.
#include "shared/order.wgsl"
#include "shared/best.wgsl"

// Weights are at most 1; as fixed-point numbers of two limbs of 14 bits, 2^18 of them fit.
const LIMB: f32 = 16384.0;
var<workgroup> high: array<atomic<u32>, 256>;
var<workgroup> low: array<atomic<u32>, 256>;
// What thread 0 found: the key so far, and bits of f32: the sum above it, and what is looked for.
var<workgroup> found: vec3<u32>;

var<workgroup> masses: array<f32, WG>;
var<workgroup> ties: array<u32, WG>;
// The invocation that has the drawn token in its range, and bits of f32: what is left of the draw there.
var<workgroup> owner: vec2<u32>;

// Of the penalised logit.
fn key_at(id: u32) -> u32 {
  let x = logits[p.offset + id];
  let key = key_of(x);
  if run.penalty == 1.0 || key == BAD || key == MINUS_INFINITY || ((seen[id / 32u] >> (id % 32u)) & 1u) == 0u {
    return key;
  }
  return key_of(clamp(select(x / run.penalty, x * run.penalty, x < 0.0), -3.4e38, 3.4e38));
}

// e^((value - largest) / temperature), 0 where that is below e^-80.
fn weight_of(key: u32, largest: f32) -> f32 {
  if key <= MINUS_INFINITY {
    return 0.0;
  }
  let below = value_of(key) - largest;
  if below < -80.0 * run.temperature {
    return 0.0;
  }
  // exp(0) need not be 1 exactly, and min-p may ask for it.
  return select(min(exp(below / run.temperature), 1.0), 1.0, below == 0.0);
}

fn limbs_of(weight: f32) -> vec2<u32> {
  let scaled = weight * LIMB;
  let whole = floor(scaled);
  return vec2<u32>(u32(whole), u32(round((scaled - whole) * LIMB)));
}

fn bin_of(i: u32) -> f32 {
  return f32(atomicLoad(&high[i])) + f32(atomicLoad(&low[i])) * (1.0 / LIMB);
}

// The key at which the sum from the largest key down reaches `goal` (counting: of tokens; else: of weights, and goal
// is a share of them all); keys under `least` don't count. Also bits of f32: the sum above this key, and the goal as a sum.
fn descend(counting: bool, goal: f32, least: u32, largest: f32, lid: u32) -> vec3<u32> {
  var mask = 0u;
  var result = vec3<u32>(0u, 0u, bitcast<u32>(goal));
  for (var level = 0u; level < 4u; level++) {
    let shift = 24u - 8u * level;
    for (var i = lid; i < 256u; i += WG) {
      atomicStore(&high[i], 0u);
      atomicStore(&low[i], 0u);
    }
    workgroupBarrier();
    for (var id = lid; id < p.n; id += WG) {
      let key = key_at(id);
      if key < least || (key & mask) != result.x {
        continue;
      }
      let bin = (key >> shift) & 255u;
      if counting {
        atomicAdd(&high[bin], 1u);
        continue;
      }
      let limbs = limbs_of(weight_of(key, largest));
      if limbs.x != 0u {
        atomicAdd(&high[bin], limbs.x);
      }
      if limbs.y != 0u {
        atomicAdd(&low[bin], limbs.y);
      }
    }
    workgroupBarrier();
    if lid == 0u {
      var wanted = bitcast<f32>(result.z);
      if level == 0u && !counting {
        var all = 0.0;
        for (var i = 256u; i > 0u; i--) {
          all += bin_of(i - 1u);
        }
        wanted = goal * all;
      }
      var above = bitcast<f32>(result.y);
      // Rounding may keep the sum from the goal: then it is the last bin with anything in it.
      var last = 0u;
      var last_above = above;
      for (var i = 256u; i > 0u; i--) {
        let mass = bin_of(i - 1u);
        if mass == 0.0 {
          continue;
        }
        last = i - 1u;
        last_above = above;
        above += mass;
        if above >= wanted {
          break;
        }
      }
      found = vec3<u32>(result.x | (last << shift), bitcast<u32>(last_above), bitcast<u32>(wanted));
    }
    result = workgroupUniformLoad(&found);
    mask = (mask >> 8u) | 0xff000000u;
  }
  return result;
}

fn finish(id: u32) {
  token[0] = id;
  ids[p.ids_offset] = id;
  seen[id / 32u] |= 1u << (id % 32u);
}

@compute @workgroup_size(WG)
fn main(@builtin(local_invocation_index) lid: u32) {
  var mine = vec2<u32>(0u, BAD);
  for (var id = lid; id < p.n; id += WG) {
    mine = better(mine, vec2<u32>(key_at(id), id));
  }
  let best = best_of_all(mine, lid);
  if lid == 0u {
    found = vec3<u32>(best, 0u);
  }
  let top = workgroupUniformLoad(&found);
  if top.x == BAD || top.x <= MINUS_INFINITY {
    if lid == 0u {
      token[0] = BAD;
      ids[p.ids_offset] = 0u;
    }
    return;
  }
  if run.temperature == 0.0 {
    if lid == 0u {
      finish(top.y);
    }
    return;
  }
  let largest = value_of(top.x);

  // Kept: keys above `last`, and the first `kept_ties` with this key.
  var last = 0u;
  var kept_ties = p.n;
  if run.top_k > 0u && run.top_k < p.n {
    last = descend(true, f32(run.top_k), 0u, largest, lid).x;
  }
  if run.top_p < 1.0 {
    let cut = descend(false, run.top_p, last, largest, lid);
    last = cut.x;
    let limbs = limbs_of(weight_of(last, largest));
    let one = f32(limbs.x) + f32(limbs.y) * (1.0 / LIMB);
    let missing = bitcast<f32>(cut.z) - bitcast<f32>(cut.y);
    kept_ties = u32(clamp(ceil(missing / max(one, 1.0e-9)), 1.0, f32(p.n)));
  }

  // Every invocation has a range of ids, for the draw is over weights in the order of ids.
  let range = (p.n + WG - 1u) / WG;
  let begin = min(lid * range, p.n);
  let end = min(begin + range, p.n);
  var mass = 0.0;
  var equal = 0u;
  for (var id = begin; id < end; id++) {
    let key = key_at(id);
    if key > last {
      let weight = weight_of(key, largest);
      mass += select(0.0, weight, weight >= run.min_p);
    }
    equal += select(0u, 1u, key == last);
  }
  ties[lid] = equal;
  workgroupBarrier();
  var before = 0u;
  for (var i = 0u; i < lid; i++) {
    before += ties[i];
  }
  let left = kept_ties - min(before, kept_ties);
  let tie_weight = weight_of(last, largest);
  let tie_mass = select(0.0, tie_weight, tie_weight >= run.min_p);
  masses[lid] = mass + f32(min(left, equal)) * tie_mass;
  workgroupBarrier();
  if lid == 0u {
    var all = 0.0;
    for (var i = 0u; i < WG; i++) {
      all += masses[i];
    }
    var rest = run.draw * all;
    // Rounding may carry the draw past the end: then it is the last range with anything in it.
    var chosen = vec2<u32>(0u);
    for (var i = 0u; i < WG; i++) {
      if masses[i] > 0.0 {
        chosen = vec2<u32>(i, bitcast<u32>(rest));
        if rest < masses[i] {
          break;
        }
        rest -= masses[i];
      }
    }
    owner = chosen;
  }
  let chosen = workgroupUniformLoad(&owner);
  if lid != chosen.x {
    return;
  }
  var rest = bitcast<f32>(chosen.y);
  var seen_ties = 0u;
  var id_drawn = top.y;
  for (var id = begin; id < end; id++) {
    let key = key_at(id);
    var weight = 0.0;
    if key > last {
      weight = weight_of(key, largest);
    } else if key == last {
      weight = select(0.0, tie_weight, seen_ties < left);
      seen_ties++;
    }
    if weight > 0.0 && weight >= run.min_p {
      id_drawn = id;
      rest -= weight;
      if rest < 0.0 {
        break;
      }
    }
  }
  finish(id_drawn);
}
