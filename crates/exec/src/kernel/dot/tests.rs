use super::*;
use crate::kernel::order::{join, part_count};
use crate::kernel::testing::{Draws, assert_close, bits, pools};

/// Runs a product on operands whose elements are all used, output filled with NaN before.
fn run<T: Float>(product: &Product, pool: &Pool, a: &[T], b: &[T], c_length: usize) -> Vec<T> {
    let mut c = vec![T::from_f64(f64::NAN); c_length];
    let prepared = product.prepare::<T>(pool);
    let mut scratch = vec![0xFFu8; prepared.scratch_bytes::<T>(pool)];
    // SAFETY: the callers below build strides that stay inside the slices.
    unsafe { prepared.run(pool, a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), scratch.as_mut_ptr()) }
    c
}

fn naive<T: Float>(product: &Product, a: &[T], b: &[T], c_length: usize) -> Vec<f64> {
    let mut c = vec![f64::NAN; c_length];
    let members: usize = product.batch.iter().map(|d| d.extent).product();
    for member in 0..members {
        let (mut index, mut at) = (member, [0isize; 3]);
        for d in product.batch.iter().rev() {
            let i = (index % d.extent) as isize;
            index /= d.extent;
            at = [at[0] + i * d.a, at[1] + i * d.b, at[2] + i * d.c];
        }
        for i in 0..product.m as isize {
            for j in 0..product.n as isize {
                let mut sum = 0.0;
                for k in 0..product.k as isize {
                    let x = a[(at[0] + i * product.a[0] + k * product.a[1]) as usize];
                    let y = b[(at[1] + k * product.b[0] + j * product.b[1]) as usize];
                    sum += x.to_f64() * y.to_f64();
                }
                c[(at[2] + i * product.c[0] + j * product.c[1]) as usize] = sum;
            }
        }
    }
    c
}

/// Row-major or column-major strides of a dense matrix.
fn strides(transposed: bool, rows: usize, columns: usize) -> [isize; 2] {
    if transposed { [1, rows as isize] } else { [columns as isize, 1] }
}

fn random_product(draws: &mut Draws) -> (Product, [usize; 3]) {
    let extents = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 33, 40, 50, 67];
    let (m, n) = (draws.pick(&extents), draws.pick(&extents));
    let k = draws.pick(&[0, 1, 2, 3, 5, 16, 37, 64, 255, 256, 257, 300, 520]);
    let mut product = Product {
        m,
        n,
        k,
        a: strides(draws.below(2) == 0, m, k),
        b: strides(draws.below(2) == 0, k, n),
        c: strides(draws.below(3) == 0, m, n),
        batch: Vec::new(),
    };
    let mut lengths = [m * k, k * n, m * n];
    for _ in 0..draws.below(3) {
        let extent = draws.between(1, 4);
        let stride = |length: &mut usize, shared: bool| {
            let stride = if shared { 0 } else { *length as isize };
            if !shared {
                *length *= extent;
            }
            stride
        };
        let a = stride(&mut lengths[0], draws.below(3) == 0);
        let b = stride(&mut lengths[1], draws.below(3) == 0);
        let c = stride(&mut lengths[2], false);
        product.batch.insert(0, Batch { extent, a, b, c });
    }
    (product, lengths)
}

fn check<T: Float>(product: &Product, lengths: [usize; 3], draws: &mut Draws, pools: &[Pool]) {
    let (a, b) = (draws.numbers::<T>(lengths[0]), draws.numbers::<T>(lengths[1]));
    let expected = naive(product, &a, &b, lengths[2]);
    let what = format!("{product:?}");
    let first = run(product, &pools[0], &a, &b, lengths[2]);
    assert_close(&first, &expected, product.k, &what);
    for pool in &pools[1..] {
        let other = run(product, pool, &a, &b, lengths[2]);
        let on = (pool.isa(), pool.threads());
        assert_eq!(bits(&first), bits(&other), "{what} on {on:?}");
    }
}

#[test]
fn products_agree_with_the_naive_sum_on_every_pool() {
    let (mut draws, pools) = (Draws::new(1), pools());
    for _ in 0..250 {
        let (product, lengths) = random_product(&mut draws);
        check::<f32>(&product, lengths, &mut draws, &pools);
        check::<f64>(&product, lengths, &mut draws, &pools);
    }
}

#[test]
fn long_sums_are_split_the_same_way_everywhere() {
    let (mut draws, pools) = (Draws::new(2), pools());
    for (m, n, k, extent) in [(3, 5, 9000, 1), (20, 33, 4097, 5), (1, 1, 70_000, 2)] {
        for transposed in [false, true] {
            let product = Product {
                m,
                n,
                k,
                a: strides(transposed, m, k),
                b: strides(!transposed, k, n),
                c: strides(transposed, m, n),
                batch: vec![Batch {
                    extent,
                    a: (m * k) as isize,
                    b: (k * n) as isize,
                    c: (m * n) as isize,
                }],
            };
            let lengths = [m * k * extent, k * n * extent, m * n * extent];
            check::<f32>(&product, lengths, &mut draws, &pools);
            check::<f64>(&product, lengths, &mut draws, &pools);
        }
    }
}

#[test]
fn large_products_cross_every_chunk() {
    let (mut draws, pools) = (Draws::new(3), pools());
    let (m, n, k) = (500, 530, 600);
    for (x, y, z) in [(false, false, false), (true, true, true), (true, false, false)] {
        let product = Product {
            m,
            n,
            k,
            a: strides(x, m, k),
            b: strides(y, k, n),
            c: strides(z, m, n),
            batch: Vec::new(),
        };
        check::<f32>(&product, [m * k, k * n, m * n], &mut draws, &pools);
    }
}

#[test]
fn a_member_alone_has_the_bits_of_the_member_among_many() {
    let mut draws = Draws::new(4);
    let pool = Pool::new(2);
    for (m, n, k) in [(1, 10, 700), (25, 40, 40), (128, 4, 4200), (4, 128, 300), (7, 1, 5000)] {
        let members = 16;
        let (a, b) = (draws.numbers::<f32>(m * k), draws.numbers::<f32>(k * n * members));
        let one = Product {
            m,
            n,
            k,
            a: strides(false, m, k),
            b: strides(false, k, n),
            c: strides(false, m, n),
            batch: Vec::new(),
        };
        let step = (k * n) as isize;
        let all = Product {
            batch: vec![Batch { extent: members, a: 0, b: step, c: (m * n) as isize }],
            ..one.clone()
        };
        let together = run(&all, &pool, &a, &b, m * n * members);
        for member in 0..members {
            let alone = run(&one, &pool, &a, &b[member * k * n..][..k * n], m * n);
            assert_eq!(bits(&alone), bits(&together[member * m * n..][..m * n]), "{m} {n} {k}");
            // The rows of a product do not depend on how many there are either.
            let last = Product { m: 1, ..one.clone() };
            let row = run(&last, &pool, &a[(m - 1) * k..], &b[member * k * n..][..k * n], n);
            assert_eq!(bits(&row), bits(&alone[(m - 1) * n..]), "{m} {n} {k}");
        }
    }
}

#[test]
fn the_sum_is_the_documented_one() {
    let mut draws = Draws::new(5);
    for k in [0, 1, 255, 256, 700, 4096, 9000] {
        let (a, b) = (draws.numbers::<f32>(k), draws.numbers::<f32>(k));
        let product = Product { m: 1, n: 1, k, a: [0, 1], b: [1, 0], c: [0, 0], batch: Vec::new() };
        let got = run(&product, &Pool::new(1), &a, &b, 1)[0];
        let length = part_length(k);
        let mut parts: Vec<f32> = (0..part_count(k))
            .map(|part| {
                let range = part * length..k.min((part + 1) * length);
                let blocks = a[range.clone()].chunks(BLOCK).zip(b[range].chunks(BLOCK));
                blocks
                    .map(|(a, b)| {
                        a.iter().zip(b).fold(0.0, |sum, (a, b)| f32::mul_add(*a, *b, sum))
                    })
                    .reduce(|sum: f32, block| sum + block)
                    .unwrap_or(0.0)
            })
            .collect();
        join(parts.len(), |into, from| parts[into] += parts[from]);
        assert_eq!(got.to_bits(), parts[0].to_bits(), "{k}");
    }
}

#[test]
fn the_ends_of_every_operand_are_watched() {
    let (mut draws, pool) = (Draws::new(6), Pool::new(1));
    let long = |m: usize, n: usize, k: usize, flip: bool| {
        let (a, b, c) = (strides(flip, m, k), strides(!flip, k, n), strides(flip, m, n));
        (Product { m, n, k, a, b, c, batch: Vec::new() }, [m * k, k * n, m * n])
    };
    let mut cases = vec![long(3, 5, 9000, false), long(3, 5, 9000, true), long(90, 70, 300, true)];
    cases.extend((0..60).map(|_| random_product(&mut draws)));
    for (product, lengths) in cases.iter().filter(|(product, _)| product.k > 0) {
        let [a, b, mut c] = lengths.map(|length| vec![0.5f32; length]);
        let prepared = product.prepare::<f32>(&pool);
        let mut scratch = vec![0u8; prepared.scratch_bytes::<f32>(&pool)];
        let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
        let plan = prepared.plan.as_ref().unwrap();
        let (left, right) = if plan.swapped { (b, a) } else { (a, b) };
        let scratch = align::<f32>(scratch.as_mut_ptr());
        let work = Work { plan, pool: &pool, a: left, b: right, c, scratch };
        let operands = prepared.operands(&work, &pool);
        let (known, scratch) = operands.split_at(3);
        bounds::assert_watched(&format!("{product:?}"), known, scratch, || {
            // SAFETY: the strides stay inside the slices.
            unsafe { work.run() }
        });
    }
}
