// A quick check of every kernel against plain float64 arithmetic: node wasm/test.mjs [DIR of the .wasm files]
import { readFileSync } from 'node:fs';
import { listPath, parseKernels } from '../packages/core/scripts/gen-kernels.mjs';

const dir = process.argv[2] ?? new URL('./dist/', import.meta.url).pathname;
const kernels = Object.fromEntries(
  parseKernels(readFileSync(listPath, 'utf8')).map((k, i) => [k.name, { ...k, i }]),
);
let seed = Number(process.argv[3] ?? 1);
console.log('seed', seed);
const rnd = () => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
  return seed / 2 ** 32;
};
const gauss = () => Math.sqrt(-2 * Math.log(rnd() + 1e-12)) * Math.cos(2 * Math.PI * rnd());
const f16 = new Float16Array(1),
  f16u = new Uint16Array(f16.buffer);
const f32 = new Float32Array(1),
  f32u = new Uint32Array(f32.buffer);

export function machine(file, exchange = () => {}) {
  const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536 });
  const inst = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(file)), {
    env: { memory, exchange },
  });
  const ex = inst.exports;
  let top = ex.__heap_base.value;
  const m = {
    memory,
    ex,
    get f() {
      return new Float32Array(memory.buffer);
    },
    get u() {
      return new Uint32Array(memory.buffer);
    },
    get b() {
      return new Uint8Array(memory.buffer);
    },
    alloc(bytes) {
      top = (top + 63) & ~63;
      const p = top;
      top += bytes;
      if (top > memory.buffer.byteLength) memory.grow(Math.ceil((top - memory.buffer.byteLength) / 65536));
      return p;
    },
    put(a) {
      const p = m.alloc(a.byteLength);
      m.b.set(new Uint8Array(a.buffer, a.byteOffset, a.byteLength), p);
      return p;
    },
    floats(p, n) {
      return m.f.slice(p / 4, p / 4 + n);
    },
    out(n) {
      const p = m.alloc(n * 4);
      m.f.fill(NaN, p / 4, p / 4 + n);
      return p;
    },
    run(name, args) {
      const k = kernels[name];
      const p = m.alloc((2 + k.fields.length) * 4);
      m.u[p / 4] = k.i;
      m.u[p / 4 + 1] = 2 + k.fields.length;
      k.fields.forEach(([n, t], i) => {
        if (args[n] === undefined) throw new Error(name + '.' + n);
        if (t === 'F') m.f[p / 4 + 2 + i] = args[n];
        else m.u[p / 4 + 2 + i] = args[n];
      });
      const rc = ex.run(p, 1);
      if (rc) throw new Error(name + ' rc ' + rc);
    },
  };
  return m;
}
let failed = 0;
function check(what, got, want, tol) {
  let worst = 0,
    top = 0;
  for (let i = 0; i < want.length; i++) {
    top = Math.max(top, Math.abs(want[i]));
    const e = Math.abs(got[i] - want[i]);
    worst = Math.max(worst, Number.isNaN(e) ? Infinity : e);
  }
  const ok = worst <= tol * top || worst === 0;
  if (!ok) failed++;
  if (!ok || process.env.V) console.log(ok ? 'ok  ' : 'FAIL', what, (worst / top).toExponential(2));
}
const rand = (n, s = 1) => Float32Array.from({ length: n }, () => gauss() * s);
const fr = Math.fround;
function quant(x, rows, k, ldx) {
  const codes = new Float64Array(rows * k),
    out = new Float64Array(rows * k);
  for (let r = 0; r < rows; r++)
    for (let g = 0; g < k; g += 32) {
      let mx = 0;
      for (let i = 0; i < 32; i++) mx = Math.max(mx, Math.abs(x[r * ldx + g + i]));
      let s = fr(mx / 127);
      if (s < 2 ** -126) s = 0;
      for (let i = 0; i < 32; i++) {
        const v = s ? fr(x[r * ldx + g + i] / s) : 0;
        let c = Math.round(v);
        if (Math.abs(v % 1) === 0.5) c = 2 * Math.round(v / 2);
        codes[r * k + g + i] = c;
        out[r * k + g + i] = c * s;
      }
    }
  return out;
}
const erf = (x) => {
  // series / continued fraction in double
  const z = Math.abs(x);
  let r;
  if (z < 2.5) {
    let t = z,
      s = z;
    for (let n = 1; n < 80; n++) {
      t *= (-z * z) / n;
      s += t / (2 * n + 1);
    }
    r = (2 / Math.sqrt(Math.PI)) * s;
  } else {
    let f = 0;
    for (let n = 60; n > 0; n--) f = n / 2 / (z + f);
    r = 1 - Math.exp(-z * z) / Math.sqrt(Math.PI) / (z + f);
  }
  return x < 0 ? -r : r;
};
const acts = [
  (x) => x,
  (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  (x) => x / (1 + Math.exp(-1.702 * x)),
  (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  (x) => x / (1 + Math.exp(-x)),
];
function toHalf(v) {
  f16[0] = v;
  return f16u[0];
}
function toBf(v) {
  f32[0] = v;
  return f32u[0] >>> 16;
}
function store(dtype, a) {
  if (dtype === 0) return [a, a];
  const h = Uint16Array.from(a, dtype === 1 ? toHalf : toBf);
  return [
    h,
    Float32Array.from(h, (u) => {
      if (dtype === 1) {
        f16u[0] = u;
        return f16[0];
      }
      f32u[0] = u << 16;
      return f32[0];
    }),
  ];
}
function matref(x, ldx, W, rows, n, k, bias, res, act) {
  const y = new Float64Array(rows * n);
  for (let r = 0; r < rows; r++)
    for (let o = 0; o < n; o++) {
      let s = 0;
      for (let i = 0; i < k; i++) s += x[r * ldx + i] * W[o * k + i];
      y[r * n + o] = acts[act](s + (bias ? bias[o] : 0)) + (res ? res[r * n + o] : 0);
    }
  return y;
}
function take(f, p, rows, n, ld) {
  const o = [];
  for (let r = 0; r < rows; r++) o.push(...f.subarray(p / 4 + r * ld, p / 4 + r * ld + n));
  return o;
}

for (const v of (process.env.VARIANTS ?? 'simd,relaxed').split(',')) {
  const m = machine(`${dir}/kernels.${v}.wasm`);
  // quantised linears
  for (const bits of [4, 8])
    for (const group of [32, 64, 128])
      for (const [rows, n, k] of [
        [1, 8, 128],
        [1, 33, 256],
        [2, 70, 384],
        [3, 31, 128],
        [4, 32, 256],
        [7, 65, 384],
        [9, 7, 128],
      ])
        for (const dtype of [0, 1, 2]) {
          const ldx = k + 8,
            x = rand(rows * ldx, 3),
            per = 32 / bits;
          const codes = Uint32Array.from({ length: (n * k) / per }, () => Math.floor(rnd() * 2 ** 32));
          const [s, sv] = store(dtype, rand((n * k) / group, dtype ? 0.01 : 1e-6)),
            [z, zv] = store(dtype, rand((n * k) / group, dtype ? 0.05 : 5e-6));
          const c8 = new Uint8Array(codes.buffer);
          const W = new Float64Array(n * k);
          for (let i = 0; i < n * k; i++) {
            const c = bits === 4 ? (c8[i >> 1] >> ((i & 1) * 4)) & 15 : c8[i];
            const g = Math.floor(i / group);
            W[i] = sv[g] * c + zv[g];
          }
          const pc = m.put(codes),
            ps = m.put(s),
            pz = m.put(z);
          const shift = Math.min(
            m.ex.scales_shift(ps, s.length, dtype),
            m.ex.scales_shift(pz, z.length, dtype),
          );
          const pw = m.alloc(m.ex.packed_bytes(bits === 4 ? 3 : 2, n, k, group));
          for (let r0 = 0; r0 < n; r0 += 16) {
            const rr = Math.min(16, n - r0);
            m.run(`repack_q${bits}`, {
              dst: pw,
              codes: pc + ((r0 * k) / per) * 4,
              scales: ps + ((r0 * k) / group) * s.BYTES_PER_ELEMENT,
              biases: pz + ((r0 * k) / group) * s.BYTES_PER_ELEMENT,
              dtype,
              n,
              k,
              group,
              row0: r0,
              rows: rr,
              shift,
            });
          }
          const q = m.alloc(m.ex.act_q8_bytes(rows, k));
          m.run('quantize_q8', { q, x: m.put(x), rows, k, ldx });
          const bias = rand(n),
            res = rand(rows * n),
            act = Math.floor(rnd() * 5);
          const xq = quant(x, rows, k, ldx);
          // f32 scales are rounded to f16; f16 and bf16 must be exact
          const tol = dtype === 0 ? 6e-4 : 3e-6;
          const want = matref(xq, k, W, rows, n, k, bias, res, act);
          const ldy = n + 3;
          for (const op of bits === 4
            ? ['linear_q4_gemv', 'linear_q4_gemv_dot4', 'linear_q4_gemm']
            : ['linear_q8_gemv', 'linear_q8_gemm']) {
            const y = m.out(rows * ldy);
            m.run(op, {
              y,
              ldy,
              q,
              w: pw,
              bias: m.put(bias),
              res: m.put(res),
              ldres: n,
              rows,
              n,
              k,
              group,
              act,
            });
            check(
              `${v} ${op} g${group} ${rows}x${n}x${k} dtype${dtype} act${act}`,
              take(m.f, y, rows, n, ldy),
              want,
              tol,
            );
            for (let r = 0; r < rows; r++)
              for (let i = n; i < ldy; i++)
                if (!Number.isNaN(m.f[y / 4 + r * ldy + i])) check('outside ' + op, [1], [0], 0);
          }
          const ids = [2, 0, n + 4, 1],
            y = m.out(4 * k);
          m.run('embed', {
            y,
            ldy: k,
            ids: m.put(Uint32Array.from(ids, (i) => i + 5)),
            w: pw,
            format: bits === 4 ? 3 : 2,
            rows: 4,
            n,
            k,
            group,
            row0: 5,
          });
          for (let r = 0; r < 4; r++)
            if (ids[r] < n)
              check(
                `${v} embed q${bits}`,
                m.floats(y + r * k * 4, k),
                W.subarray(ids[r] * k, ids[r] * k + k),
                dtype === 0 ? 1e-3 : 2e-7,
              );
          if (!Number.isNaN(m.f[y / 4 + 2 * k])) check('embed row', [1], [0], 0);
        }
  for (const fmt of ['f32', 'f16'])
    for (const dtype of [0, 1, 2])
      for (const [rows, n, k] of [
        [1, 1, 1],
        [1, 33, 37],
        [3, 8, 64],
        [5, 70, 1100],
        [8, 32, 513],
        [1030, 9, 20],
      ]) {
        const [s, sv] = store(dtype, rand(n * k, 0.1));
        const W = fmt === 'f16' ? store(1, sv)[1] : sv;
        const pw = m.alloc(m.ex.packed_bytes(fmt === 'f16' ? 1 : 0, n, k, 0)),
          ps = m.put(s);
        for (let r0 = 0; r0 < n; r0 += 8)
          m.run(`repack_${fmt}`, {
            dst: pw,
            x: ps + r0 * k * s.BYTES_PER_ELEMENT,
            dtype,
            n,
            k,
            row0: r0,
            rows: Math.min(8, n - r0),
          });
        const ldx = k + 1,
          x = rand(rows * ldx),
          bias = rand(n),
          act = Math.floor(rnd() * 5);
        const want = matref(x, ldx, W, rows, n, k, bias, null, act);
        for (const op of ['gemv', 'gemm']) {
          const y = m.out(rows * n);
          m.run(`linear_${fmt}_${op}`, {
            y,
            ldy: n,
            x: m.put(x),
            ldx,
            w: pw,
            bias: m.put(bias),
            res: 0,
            ldres: 0,
            rows,
            n,
            k,
            act,
          });
          check(`${v} linear_${fmt}_${op} ${rows}x${n}x${k} d${dtype}`, m.floats(y, rows * n), want, 2e-6);
        }
        const y = m.out(k);
        m.run('embed', {
          y,
          ldy: k,
          ids: m.put(Uint32Array.of(n - 1)),
          w: pw,
          format: fmt === 'f16' ? 1 : 0,
          rows: 1,
          n,
          k,
          group: 0,
          row0: 0,
        });
        check(`${v} embed ${fmt}`, m.floats(y, k), W.subarray((n - 1) * k, n * k), 0);
      }
  for (const [rows, cols] of [
    [1, 7],
    [3, 64],
    [5, 897],
    [2, 4096],
  ]) {
    const x = rand(rows * cols).map((a) => a * 2 + 3),
      w = rand(cols),
      b = rand(cols),
      y = m.out(rows * cols),
      y2 = m.out(rows * cols);
    const args = { x: m.put(x), w: m.put(w), rows, cols, ldx: cols, ldy: cols, eps: 1e-5 };
    m.run('layer_norm', { ...args, y, b: m.put(b) });
    m.run('rms_norm', { ...args, y: y2 });
    const ln = [],
      rn = [];
    for (let r = 0; r < rows; r++) {
      const row = x.subarray(r * cols, r * cols + cols);
      let mu = 0,
        ss = 0,
        va = 0;
      for (const a of row) {
        mu += a;
        ss += a * a;
      }
      mu /= cols;
      for (const a of row) va += (a - mu) ** 2;
      for (let i = 0; i < cols; i++) {
        ln.push(((row[i] - mu) / Math.sqrt(va / cols + 1e-5)) * w[i] + b[i]);
        rn.push((row[i] / Math.sqrt(ss / cols + 1e-5)) * w[i]);
      }
    }
    check(`${v} layer_norm ${cols}`, m.floats(y, rows * cols), ln, 1e-6);
    check(`${v} rms_norm ${cols}`, m.floats(y2, rows * cols), rn, 1e-6);
  }
  for (const [d, pos] of [
    [2, 5],
    [32, 32000],
    [64, 0],
    [128, 600],
    [80, 4000],
  ]) {
    const rows = 3,
      heads = 2,
      ldx = heads * d + 4,
      x = rand(rows * ldx),
      inv = Float32Array.from({ length: d / 2 }, (_, i) => 10000 ** ((-2 * i) / d));
    const p = m.put(x);
    m.run('rotary', { x: p, ldx, rows, heads, d, inv_freq: m.put(inv), pos: m.put(Uint32Array.of(pos)) });
    const want = Float64Array.from(x);
    for (let r = 0; r < rows; r++)
      for (let h = 0; h < heads; h++)
        for (let i = 0; i < d / 2; i++) {
          const a = (pos + r) * inv[i],
            o = r * ldx + h * d + i,
            u = x[o],
            w = x[o + d / 2];
          want[o] = u * Math.cos(a) - w * Math.sin(a);
          want[o + d / 2] = w * Math.cos(a) + u * Math.sin(a);
        }
    check(`${v} rotary d${d} pos${pos}`, m.floats(p, x.length), want, 3e-7);
  }
  const attn = (q, k, v, d, scale) => {
    const s = k.map((kk) => kk.reduce((t, a, i) => t + a * q[i], 0) * scale),
      mx = Math.max(...s),
      e = s.map((a) => Math.exp(a - mx)),
      z = e.reduce((a, b) => a + b);
    const y = new Float64Array(d);
    e.forEach((p, t) => {
      for (let i = 0; i < d; i++) y[i] += (p / z) * v[t][i];
    });
    return [y, e.map((p) => p / z)];
  };
  for (const [rows, heads, kvh, d, ctx, chunks] of [
    [1, 4, 4, 32, 16, [1, 1]],
    [70, 6, 2, 20, 200, [70, 1, 9, 64]],
    [5, 7, 1, 64, 300, [5, 130, 1, 66]],
    [3, 2, 2, 128, 77, [77]],
  ]) {
    const ck = m.alloc(m.ex.kv_cache_bytes(kvh, d, ctx)),
      cv = m.alloc(m.ex.kv_cache_bytes(kvh, d, ctx));
    m.f.fill(NaN, ck / 4, ck / 4 + m.ex.kv_cache_bytes(kvh, d, ctx) / 4);
    m.f.fill(NaN, cv / 4, cv / 4 + m.ex.kv_cache_bytes(kvh, d, ctx) / 4);
    const K = [],
      V = [];
    let pos = 0;
    for (const n of chunks) {
      const q = rand(n * heads * d, 2),
        k = rand(n * kvh * d, 2),
        val = rand(n * kvh * d);
      for (let r = 0; r < n; r++) {
        K.push(k.subarray(r * kvh * d, (r + 1) * kvh * d));
        V.push(val.subarray(r * kvh * d, (r + 1) * kvh * d));
      }
      const pp = m.put(Uint32Array.of(pos)),
        y = m.out(n * heads * d),
        scale = d ** -0.5;
      m.run('kv_write', {
        cache_k: ck,
        cache_v: cv,
        k: m.put(k),
        v: m.put(val),
        ldk: kvh * d,
        ldv: kvh * d,
        rows: n,
        kv_heads: kvh,
        d,
        ctx,
        pos: pp,
      });
      m.run('attention_cached', {
        y,
        ldy: heads * d,
        q: m.put(q),
        ldq: heads * d,
        cache_k: ck,
        cache_v: cv,
        rows: n,
        heads,
        kv_heads: kvh,
        d,
        ctx,
        pos: pp,
        scale,
        scratch: m.alloc(64),
      });
      const want = [];
      for (let r = 0; r < n; r++)
        for (let h = 0; h < heads; h++) {
          const g = Math.floor(h / (heads / kvh)),
            sl = (a) => a.subarray(g * d, g * d + d);
          want.push(
            ...attn(
              q.subarray((r * heads + h) * d, (r * heads + h + 1) * d),
              K.slice(0, pos + r + 1).map(sl),
              V.slice(0, pos + r + 1).map(sl),
              d,
              scale,
            )[0],
          );
        }
      check(
        `${v} attention_cached heads${heads}/${kvh} d${d} pos${pos} n${n}`,
        m.floats(y, n * heads * d),
        want,
        2e-6,
      );
      pos += n;
    }
  }
  for (const [rows, heads, d] of [
    [1, 1, 8],
    [37, 3, 64],
    [145, 2, 24],
    [64, 1, 20],
  ]) {
    const ld = heads * d * 3,
      x = rand(rows * ld, 1.5),
      p = m.put(x),
      y = m.out(rows * heads * d),
      scale = d ** -0.5;
    m.run('attention', {
      y,
      ldy: heads * d,
      q: p,
      k: p + heads * d * 4,
      v: p + heads * d * 8,
      ldq: ld,
      ldk: ld,
      ldv: ld,
      rows,
      heads,
      d,
      scale,
      scratch: m.alloc(m.ex.attention_scratch_bytes(rows, d)),
    });
    const want = [],
      row = (r, o) => x.subarray(r * ld + o, r * ld + o + d);
    for (let r = 0; r < rows; r++)
      for (let h = 0; h < heads; h++)
        want.push(
          ...attn(
            row(r, h * d),
            Array.from({ length: rows }, (_, t) => row(t, (heads + h) * d)),
            Array.from({ length: rows }, (_, t) => row(t, (2 * heads + h) * d)),
            d,
            scale,
          )[0],
        );
    check(`${v} attention ${rows} ${heads} ${d}`, m.floats(y, rows * heads * d), want, 2e-6);
  }
  {
    const nq = 6,
      nk = 25,
      d = 50,
      q = rand(nq * d),
      k = rand(nk * d),
      val = rand(nk * d),
      y = m.out(nq * (d + 2)),
      map = m.out(nq * nk);
    m.run('cross_attention', {
      y,
      ldy: d + 2,
      map,
      q: m.put(q),
      k: m.put(k),
      v: m.put(val),
      nq,
      nk,
      d,
      scale: d ** -0.5,
    });
    const rows = (a, n) => Array.from({ length: n }, (_, r) => a.subarray(r * d, r * d + d));
    const res = rows(q, nq).map((a) => attn(a, rows(k, nk), rows(val, nk), d, d ** -0.5));
    check(
      `${v} cross_attention y`,
      take(m.f, y, nq, d, d + 2),
      res.flatMap((a) => [...a[0]]),
      1e-6,
    );
    check(
      `${v} cross_attention map`,
      m.floats(map, nq * nk),
      res.flatMap((a) => a[1]),
      1e-6,
    );
  }
  for (let act = 0; act < 5; act++) {
    const x = Float32Array.from({ length: 4003 }, (_, i) => (i - 2000) / 150),
      y = m.out(4003);
    m.run('activation', { y, x: m.put(x), rows: 1, cols: 4003, ldx: 4003, ldy: 4003, act });
    let worst = 0,
      at = 0;
    m.floats(y, 4003).forEach((g, i) => {
      const w = acts[act](x[i]),
        e = Math.abs(g - w) / Math.max(Math.abs(w), 1e-5);
      if (e > worst) {
        worst = e;
        at = x[i];
      }
    });
    check(`${v} activation ${act} (worst ${worst} at ${at})`, [1 + worst], [1], 2e-6);
  }
  {
    const g = rand(33),
      u = rand(33),
      y = m.out(33),
      y2 = m.out(33),
      y3 = m.out(33);
    m.run('swiglu', { y, gate: m.put(g), up: m.put(u), rows: 3, cols: 11, ldg: 11, ldu: 11, ldy: 11 });
    check(
      `${v} swiglu`,
      m.floats(y, 33),
      g.map((a, i) => acts[4](a) * u[i]),
      1e-6,
    );
    m.run('add', { y: y2, a: m.put(g), b: m.put(u), rows: 3, cols: 11, lda: 11, ldb: 11, ldy: 11 });
    check(
      `${v} add`,
      m.floats(y2, 33),
      g.map((a, i) => a + u[i]),
      1e-7,
    );
    m.run('copy', { y: y3, x: m.put(g), rows: 3, cols: 11, ldx: 11, ldy: 11 });
    check(`${v} copy`, m.floats(y3, 33), g, 0);
  }
  {
    const C = 3,
      gh = 3,
      gw = 2,
      p = 4,
      px = rand(C * gh * p * gw * p),
      y = m.out(px.length),
      want = [];
    m.run('patchify', { y, pixels: m.put(px), channels: C, grid_h: gh, grid_w: gw, patch: p });
    for (let gy = 0; gy < gh; gy++)
      for (let gx = 0; gx < gw; gx++)
        for (let c = 0; c < C; c++)
          for (let a = 0; a < p; a++)
            for (let b = 0; b < p; b++) want.push(px[(c * gh * p + gy * p + a) * gw * p + gx * p + b]);
    check(`${v} patchify`, m.floats(y, px.length), want, 0);
    const cls = rand(5),
      pos = rand(35),
      pt = rand(30),
      z = m.out(35);
    m.run('assemble_cls', { y: z, patches: m.put(pt), cls: m.put(cls), pos: m.put(pos), p: 6, c: 5 });
    check(
      `${v} assemble_cls`,
      m.floats(z, 35),
      [...cls, ...pt].map((a, i) => a + pos[i]),
      1e-7,
    );
    for (const [G, k] of [
      [12, 4],
      [7, 4],
      [24, 16],
      [5, 5],
    ]) {
      const c = 6,
        ld = 7,
        x = rand(G * G * ld),
        X = m.put(x),
        at = (r, q, i) => x[(r * G + q) * ld + i],
        y = m.out(k * k * c),
        y2 = m.out(k * k * c),
        w1 = [],
        w2 = [];
      m.run('crop', { y, x: X, grid: G, k, c, ldx: ld });
      m.run('pool', { y: y2, x: X, grid: G, k, c, ldx: ld });
      const s = Math.floor((G - k) / 2);
      for (let i = 0; i < k; i++)
        for (let j = 0; j < k; j++)
          for (let n = 0; n < c; n++) {
            w1.push(at(s + i, s + j, n));
            let t = 0,
              cnt = 0;
            for (let r = Math.floor((i * G) / k); r < Math.ceil(((i + 1) * G) / k); r++)
              for (let q = Math.floor((j * G) / k); q < Math.ceil(((j + 1) * G) / k); q++) {
                t += at(r, q, n);
                cnt++;
              }
            w2.push(t / cnt);
          }
      check(`${v} crop`, m.floats(y, k * k * c), w1, 0);
      check(`${v} pool ${G} ${k}`, m.floats(y2, k * k * c), w2, 1e-6);
      const st = 2,
        o = Math.floor((G - k) / st) + 1,
        y3 = m.out(o * o * k * k * c),
        w3 = [];
      m.run('unfold', { y: y3, x: X, grid: G, k, stride: st, c, ldx: ld });
      for (let a = 0; a < o; a++)
        for (let b = 0; b < o; b++)
          for (let i = 0; i < k; i++)
            for (let j = 0; j < k; j++) for (let n = 0; n < c; n++) w3.push(at(a * st + i, b * st + j, n));
      check(`${v} unfold`, m.floats(y3, w3.length), w3, 0);
    }
    const nx = rand(30),
      out = m.put(Uint32Array.of(0)),
      np = m.put(nx);
    const nan = (val, i) => {
      m.u[out / 4] = 0;
      m.f.set(nx, np / 4);
      m.f[np / 4 + i] = val;
      m.run('nan_check', { out, x: np, rows: 3, cols: 9, ldx: 10 });
      return m.u[out / 4];
    };
    check(
      'nan',
      [nan(1, 3), nan(NaN, 3), nan(Infinity, 8), nan(-Infinity, 28), nan(NaN, 9)],
      [0, 1, 1, 1, 0],
      0,
    );
    const bytes = new Uint32Array(1024).map(() => rnd() * 2 ** 32);
    m.run('stream_read', { out, x: m.put(bytes), bytes: 4096 });
    check('stream_read', [m.u[out / 4]], [bytes.reduce((a, b) => (a + b) >>> 0, 0)], 0);
  }
  {
    // gather with three workers: every exchange is done by the test, afterwards
    const size = 3,
      rows = 2,
      ld = 10,
      starts = [0, 3, 3, 9],
      full = rand(rows * ld),
      bus = new Map();
    const ids = [4, 0, 7, 2],
      rstarts = [0, 3, 5, 9],
      full2 = rand(4 * 6);
    for (let pass = 0; pass < 2; pass++)
      for (let rank = 0; rank < size; rank++) {
        let stage = 0,
          blk = [0, 0];
        const w = machine(`${dir}/kernels.${v}.wasm`, (slot) => {
          if (pass === 0) bus.set(slot + ':' + rank, w.floats(stage + blk[0], blk[1]));
          else
            for (let o = 0; o < size; o++) {
              const d = bus.get(slot + ':' + o),
                at = slot === 7 ? rows * starts[o] * 4 : o * 24 * 4;
              w.f.set(d, (stage + at) / 4);
            }
        });
        const mine = full.map((a, i) => (i % ld >= starts[rank] && i % ld < starts[rank + 1] ? a : NaN)),
          buf = w.put(mine);
        stage = w.alloc(4000);
        blk = [rows * starts[rank] * 4, rows * (starts[rank + 1] - starts[rank])];
        w.run('gather', {
          buf,
          ld,
          rows,
          rank,
          size,
          starts: w.put(Uint32Array.from(starts)),
          stage,
          slot: 7,
        });
        if (pass) check('gather', take(w.f, buf, rows, 9, ld), take(full, 0, rows, 9, ld), 0);
        const mine2 = full2.map((a, i) => {
            const id = ids[Math.floor(i / 6)];
            return id >= rstarts[rank] && id < rstarts[rank + 1] ? a : NaN;
          }),
          b2 = w.put(mine2);
        blk = [rank * 24 * 4, 24];
        w.run('gather_rows', {
          buf: b2,
          ld: 6,
          rows: 4,
          cols: 6,
          rank,
          size,
          ids: w.put(Uint32Array.from(ids)),
          starts: w.put(Uint32Array.from(rstarts)),
          stage,
          slot: 8,
        });
        if (pass) check('gather_rows', w.floats(b2, 24), full2, 0);
      }
  }
  {
    const p = m.put(Uint32Array.of(99, 2));
    check('bad op', [m.ex.run(p, 1)], [1], 0);
    const q = m.put(Uint32Array.of(0, 3));
    check('bad len', [m.ex.run(q, 1)], [1], 0);
  }
}
console.log(failed ? `${failed} FAILED` : 'all passed');
process.exitCode = failed ? 1 : 0;
