//! Prints the measured peak of fused multiply-adds and the speed of each kernel.
//!
//! `kernels [FILTER]`

use std::hint::black_box;
use thalweg_bench::peak::{measure_peak, seconds};
use thalweg_exec::kernel::math::{Unary, map, map_pow};
use thalweg_exec::kernel::{Batch, Convolution, Isa, Pass, Pool, Product};

struct Bench<'a> {
    pool: &'a Pool,
    peak: f64,
    filter: String,
}

impl Bench<'_> {
    fn report(&self, name: &str, operations: f64, call: impl FnMut()) {
        if !name.contains(&self.filter) {
            return;
        }
        let [median, least] = seconds(call);
        let speed = operations / median / 1e9;
        println!(
            "{name:<54} {:>9.1} us {speed:>7.1} GFLOP/s {:>5.1} %  (best {:>5.1} %)",
            median * 1e6,
            100.0 * speed / self.peak,
            100.0 * operations / least / 1e9 / self.peak,
        );
    }

    fn product(
        &self,
        name: &str,
        members: usize,
        shared_a: bool,
        [m, n, k]: [usize; 3],
        flip: [bool; 2],
    ) {
        let stride = |flip: bool, rows: usize, columns: usize| {
            if flip { [1, rows as isize] } else { [columns as isize, 1] }
        };
        let product = Product {
            m,
            n,
            k,
            a: stride(flip[0], m, k),
            b: stride(flip[1], k, n),
            c: [n as isize, 1],
            batch: vec![Batch {
                extent: members,
                a: if shared_a { 0 } else { (m * k) as isize },
                b: (k * n) as isize,
                c: (m * n) as isize,
            }],
        };
        let a = vec![0.5f32; m * k * members];
        let b = vec![0.25f32; k * n * members];
        let mut c = vec![0.0f32; m * n * members];
        let prepared = product.prepare::<f32>(self.pool);
        let mut scratch = vec![0u8; prepared.scratch_bytes::<f32>(self.pool)];
        let operations = (2 * m * n * k * members) as f64;
        let flips = [if flip[0] { "^T" } else { "" }, if flip[1] { "^T" } else { "" }];
        let name = format!("dot {name} {members}x [{m},{k}]{} [{k},{n}]{}", flips[0], flips[1]);
        // SAFETY: the operands have the sizes that the strides describe.
        self.report(&name, operations, || unsafe {
            prepared.run(self.pool, a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), scratch.as_mut_ptr());
        });
    }

    fn convolution(&self, name: &str, it: &Convolution, x_shared: bool) {
        let [oh, ow] = it.output_extent();
        let copies = if x_shared { 1 } else { it.population };
        let x = vec![0.5f32; copies * it.n * it.h * it.w * it.cin];
        let weights = vec![0.25f32; it.population * it.kh * it.kw * it.cin / it.groups * it.cout];
        let y = vec![0.125f32; it.population * it.n * oh * ow * it.cout];
        let mut out =
            vec![0.0f32; it.population * it.n * (it.h * it.w * it.cin).max(oh * ow * it.cout)];
        let mut dw = weights.clone();
        let pool = self.pool;
        let operations = 2.0 * it.multiplications() as f64;
        let (x, weights, y) = (x.as_ptr(), weights.as_ptr(), y.as_ptr());
        let (out, dw) = (out.as_mut_ptr(), dw.as_mut_ptr());
        let passes = [
            ("forward", Pass::Forward, [x, weights], [x_shared, false], out),
            ("input gradient", Pass::InputGradient, [y, weights], [false; 2], out),
            ("weight gradient", Pass::WeightGradient, [x, y], [x_shared, false], dw),
        ];
        for (what, pass, operands, shared, result) in passes {
            if x_shared && pass == Pass::InputGradient {
                continue;
            }
            let mut scratch = vec![0u8; it.scratch_bytes::<f32>(pass, pool, shared)];
            let scratch = scratch.as_mut_ptr();
            self.report(&format!("{what} {name}"), operations, || {
                // SAFETY: the operands have the sizes of the shapes.
                unsafe { it.run(pass, pool, operands, shared, result, scratch) }
            });
        }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let filter = arguments.next().unwrap_or_default();
    let threads = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        if isa == Isa::Portable {
            continue;
        }
        let pool = Pool::with_isa(threads, isa);
        let peak = measure_peak(&pool);
        println!("\n{isa:?}, {} threads: peak {peak:.1} GFLOP/s (f32)", pool.threads());
        let bench = Bench { pool: &pool, peak, filter: filter.clone() };
        let [_, empty] = seconds(|| pool.for_each(2, |_| {}));
        println!("an empty parallel call: {:.2} us", empty * 1e6);
        products(&bench);
        convolutions(&bench);
        functions(&bench);
    }
}

fn products(bench: &Bench) {
    let no = [false, false];
    bench.product("square", 1, false, [512, 512, 512], no);
    bench.product("square", 1, false, [512, 512, 512], [false, true]);
    bench.product("square", 1, false, [512, 512, 512], [true, false]);
    bench.product("large", 1, false, [1024, 1024, 1024], no);
    bench.product("mlp", 1, false, [128, 256, 784], no);
    bench.product("mlp", 1, false, [128, 784, 256], [false, true]);
    bench.product("mlp", 1, false, [784, 256, 128], [true, false]);
    bench.product("gpt", 1, false, [2048, 512, 128], no);
    bench.product("gpt", 1, false, [2048, 512, 128], [false, true]);
    bench.product("gpt", 1, false, [2048, 128, 512], no);
    bench.product("gpt", 1, false, [128, 512, 2048], [true, false]);
    bench.product("attention", 64, false, [128, 128, 32], [false, true]);
    bench.product("narrow", 1, false, [4096, 16, 144], no);
    bench.product("narrow", 1, false, [4096, 8, 72], no);
    bench.product("narrow", 1, false, [4096, 4, 36], no);
    bench.product("small", 64, false, [25, 40, 40], no);
    bench.product("small", 64, false, [25, 40, 40], [false, true]);
    bench.product("small", 64, false, [25, 40, 40], [true, false]);
    bench.product("head", 1, false, [128, 10, 64], no);
    bench.product("matvec", 1, false, [512, 1, 512], no);
    bench.product("vecmat", 1, false, [1, 512, 512], no);
    bench.product("population", 16, true, [128, 64, 64], no);
    bench.product("population", 64, true, [128, 4, 64], no);
}

fn convolutions(bench: &Bench) {
    let base = Convolution {
        population: 1,
        n: 128,
        h: 32,
        w: 32,
        cin: 16,
        kh: 3,
        kw: 3,
        cout: 16,
        groups: 1,
        stride: [1, 1],
        padding: [(1, 1), (1, 1)],
        dilation: [1, 1],
        folded: [1, 1],
    };
    let sized = |extent: usize, cin: usize, cout: usize| Convolution {
        h: extent,
        w: extent,
        cin,
        cout,
        ..base.clone()
    };
    bench.convolution("3x3 3->16 32x32", &sized(32, 3, 16), false);
    bench.convolution("3x3 16->16 32x32", &base, false);
    bench.convolution("3x3 32->32 16x16", &sized(16, 32, 32), false);
    bench.convolution("3x3 64->64 8x8", &sized(8, 64, 64), false);
    bench.convolution("3x3 8->8 28x28", &sized(28, 8, 8), false);
    let halving = Convolution { stride: [2, 2], ..sized(32, 16, 32) };
    bench.convolution("3x3/2 16->32 32x32", &halving, false);
    let one = |it: Convolution| Convolution { kh: 1, kw: 1, padding: [(0, 0), (0, 0)], ..it };
    bench.convolution("1x1 64->64 8x8", &one(sized(8, 64, 64)), false);
    bench.convolution("1x1/2 16->32 32x32", &one(halving), false);
    bench.convolution("3x3 4->4 8x8", &sized(8, 4, 4), false);
    bench.convolution("3x3 8->8 4x4", &sized(4, 8, 8), false);
    bench.convolution("3x3 16->16 2x2", &sized(2, 16, 16), false);
    bench.convolution(
        "3x3 depthwise 32 16x16",
        &Convolution { groups: 32, ..sized(16, 32, 32) },
        false,
    );
    let many = |it: Convolution| Convolution { population: 16, ..it };
    bench.convolution("16 of 3x3 16->16 32x32, shared input", &many(base.clone()), true);
    bench.convolution("16 of 3x3 16->16 32x32", &many(base.clone()), false);
    bench.convolution("16 of 3x3 1->4 8x8, shared input", &many(sized(8, 1, 4)), true);
    bench.convolution("16 of 3x3 4->4 8x8", &many(sized(8, 4, 4)), false);
    bench.convolution("16 of 3x3 8->8 4x4", &many(sized(4, 8, 8)), false);
}

/// Elementary functions on one thread, over slices that stay in the first-level cache.
fn functions(bench: &Bench) {
    let x: Vec<f32> = (0..2048).map(|i| 0.001 * (i + 1) as f32).collect();
    let mut y = vec![0.0f32; x.len()];
    let isa = bench.pool.isa();
    let report = |name: &str, time: f64| {
        if name.contains(&bench.filter) {
            println!("{name:<54} {:>9.3} ns an element", time * 1e9 / x.len() as f64);
        }
    };
    for function in Unary::ALL {
        let [time, _] = seconds(|| map(isa, function, black_box(&x), &mut y));
        report(&format!("function {function:?}"), time);
    }
    let [time, _] = seconds(|| map_pow(isa, black_box(&x), &x, &mut y));
    report("function Pow", time);
}
