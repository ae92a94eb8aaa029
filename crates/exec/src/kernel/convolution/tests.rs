use super::*;
use crate::kernel::simd::Isa;
use crate::kernel::testing::{Draws, assert_close, bits, pools};

/// Elements of one member of `x`, `weights` and `y`.
fn sizes(it: &Convolution) -> [usize; 3] {
    let [oh, ow] = it.output_extent();
    [
        it.n * it.h * it.w * it.cin,
        it.kh * it.kw * it.cin / it.groups * it.cout,
        it.n * oh * ow * it.cout,
    ]
}

/// Sizes of left operand, right operand and output of a kernel.
fn operands(it: &Convolution, kind: Pass) -> [usize; 3] {
    let [x, w, y] = sizes(it);
    match kind {
        Pass::Forward => [x, w, y],
        Pass::InputGradient => [y, w, x],
        Pass::WeightGradient => [x, y, w],
    }
}

fn run<T: Float>(
    it: &Convolution,
    kind: Pass,
    pool: &Pool,
    (left, left_shared): (&[T], bool),
    (right, right_shared): (&[T], bool),
) -> Vec<T> {
    let sizes = operands(it, kind);
    let copies = |shared: bool| if shared { 1 } else { it.population };
    assert_eq!(left.len(), sizes[0] * copies(left_shared));
    assert_eq!(right.len(), sizes[1] * copies(right_shared));
    let mut out = vec![T::from_f64(f64::NAN); sizes[2] * it.population];
    let shared = [left_shared, right_shared];
    let bytes = it.scratch_bytes::<T>(kind, pool, shared);
    // A guard behind the scratch shows writes past it.
    let mut scratch = vec![0xFFu8; bytes + 4096];
    let operands = [left.as_ptr(), right.as_ptr()];
    // SAFETY: the slices have the sizes that were asserted.
    unsafe { it.run(kind, pool, operands, shared, out.as_mut_ptr(), scratch.as_mut_ptr()) };
    assert!(scratch[bytes..].iter().all(|&byte| byte == 0xFF), "{it:?} wrote past its scratch");
    out
}

/// Calls `visit` with the indices of x, weights and y of every product of one member.
fn each_product(it: &Convolution, mut visit: impl FnMut(usize, usize, usize)) {
    let [oh, ow] = it.output_extent();
    let (cin, cout) = (it.cin / it.groups, it.cout / it.groups);
    for n in 0..it.n {
        for (oy, ox) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
            for (ky, kx) in (0..it.kh).flat_map(|y| (0..it.kw).map(move |x| (y, x))) {
                let y = (oy * it.stride[0] + ky * it.dilation[0]).wrapping_sub(it.padding[0].0);
                let x = (ox * it.stride[1] + kx * it.dilation[1]).wrapping_sub(it.padding[1].0);
                if y >= it.h || x >= it.w {
                    continue;
                }
                for co in 0..it.cout {
                    for ci in 0..cin {
                        visit(
                            ((n * it.h + y) * it.w + x) * it.cin + co / cout * cin + ci,
                            ((ky * it.kw + kx) * cin + ci) * it.cout + co,
                            ((n * oh + oy) * ow + ox) * it.cout + co,
                        );
                    }
                }
            }
        }
    }
}

fn naive<T: Float>(
    it: &Convolution,
    kind: Pass,
    (left, left_shared): (&[T], bool),
    (right, right_shared): (&[T], bool),
) -> Vec<f64> {
    let sizes = operands(it, kind);
    let mut out = vec![0.0; sizes[2] * it.population];
    for (member, out) in out.chunks_mut(sizes[2].max(1)).enumerate() {
        let at = |shared: bool, size: usize| if shared { 0 } else { member * size };
        let (left, right) =
            (&left[at(left_shared, sizes[0])..], &right[at(right_shared, sizes[1])..]);
        each_product(it, |x, w, y| {
            let (l, r, o) = match kind {
                Pass::Forward => (x, w, y),
                Pass::InputGradient => (y, w, x),
                Pass::WeightGradient => (x, y, w),
            };
            out[o] += left[l].to_f64() * right[r].to_f64();
        });
    }
    out
}

fn terms(it: &Convolution, kind: Pass) -> usize {
    let [oh, ow] = it.output_extent();
    match kind {
        Pass::Forward => it.kh * it.kw * it.cin / it.groups,
        Pass::InputGradient => it.kh * it.kw * it.cout / it.groups,
        Pass::WeightGradient => it.n * oh * ow,
    }
}

fn check<T: Float>(it: &Convolution, draws: &mut Draws, pools: &[Pool]) {
    for kind in Pass::ALL {
        let sizes = operands(it, kind);
        let shared = [draws.below(2) == 0, draws.below(2) == 0];
        let copies = |i: usize| if shared[i] { 1 } else { it.population };
        let left = draws.numbers::<T>(sizes[0] * copies(0));
        let right = draws.numbers::<T>(sizes[1] * copies(1));
        let (left, right) = ((&left[..], shared[0]), (&right[..], shared[1]));
        let what = format!("{kind:?} {shared:?} {it:?}");
        let first = run(it, kind, &pools[0], left, right);
        assert_close(&first, &naive(it, kind, left, right), terms(it, kind), &what);
        for pool in &pools[1..] {
            let other = run(it, kind, pool, left, right);
            let on = (pool.isa(), pool.threads());
            assert!(bits(&first) == bits(&other), "{what} has other bits on {on:?}");
        }
        // A member alone has the bits that it has among the others.
        let single = Convolution { population: 1, ..it.clone() };
        let member = it.population - 1;
        let at = |i: usize| if shared[i] { 0 } else { member * sizes[i] };
        let alone = run(
            &single,
            kind,
            &pools[pools.len() - 1],
            (&left.0[at(0)..][..sizes[0]], shared[0]),
            (&right.0[at(1)..][..sizes[1]], shared[1]),
        );
        assert!(bits(&first[member * sizes[2]..]) == bits(&alone), "{what}: a member alone");
    }
}

fn random_convolution(draws: &mut Draws) -> Convolution {
    let groups = draws.pick(&[1, 1, 1, 2, 3, 7, 20]);
    let (cin, cout) = match groups {
        1 => (draws.pick(&[1, 3, 4, 8, 16, 19, 33]), draws.pick(&[1, 4, 5, 8, 16, 24, 40])),
        2 | 3 => (groups * draws.pick(&[1, 2, 5]), groups * draws.pick(&[1, 3, 8])),
        _ => (groups, groups),
    };
    Convolution {
        population: draws.pick(&[1, 1, 2, 5]),
        n: draws.pick(&[1, 2, 3, 4, 9, 17, 35]),
        h: draws.between(1, 11),
        w: draws.between(1, 11),
        cin,
        kh: draws.between(1, 4),
        kw: draws.between(1, 4),
        cout,
        groups,
        stride: [draws.between(1, 3), draws.between(1, 3)],
        padding: [
            (draws.between(0, 3), draws.between(0, 3)),
            (draws.between(0, 3), draws.between(0, 3)),
        ],
        dilation: [draws.between(1, 2), draws.between(1, 2)],
        folded: [1, 1],
    }
}

fn plain(n: usize, extent: usize, cin: usize, cout: usize) -> Convolution {
    Convolution {
        population: 1,
        n,
        h: extent,
        w: extent,
        cin,
        kh: 3,
        kw: 3,
        cout,
        groups: 1,
        stride: [1, 1],
        padding: [(1, 1), (1, 1)],
        dilation: [1, 1],
        folded: [1, 1],
    }
}

#[test]
fn random_convolutions_agree_with_the_naive_sum_on_every_pool() {
    let (mut draws, pools) = (Draws::new(11), pools());
    for _ in 0..200 {
        let it = random_convolution(&mut draws);
        check::<f32>(&it, &mut draws, &pools);
        check::<f64>(&it, &mut draws, &pools);
    }
}

#[test]
fn sums_of_many_blocks_and_parts() {
    let (mut draws, pools) = (Draws::new(12), pools());
    let cases = [
        // Blocks that end inside a tap, parts in both directions of the channels.
        plain(2, 5, 100, 20),
        Convolution { padding: [(0, 0), (0, 0)], ..plain(1, 4, 700, 9) },
        Convolution { padding: [(1, 0), (2, 1)], stride: [2, 1], ..plain(1, 5, 9, 1100) },
        // Sums over pixels of more than one part, in bands and across images.
        plain(3, 50, 3, 5),
        Convolution { stride: [2, 2], ..plain(70, 17, 2, 6) },
        Convolution { groups: 6, population: 2, ..plain(8, 32, 6, 6) },
        Convolution { kh: 1, kw: 1, padding: [(0, 0), (0, 0)], ..plain(5, 40, 12, 7) },
    ];
    for it in cases {
        check::<f32>(&it, &mut draws, &pools);
    }
}

#[test]
fn large_images_are_done_in_bands() {
    let (mut draws, pools) = (Draws::new(13), pools());
    let wide = Convolution { h: 70, w: 200, ..plain(1, 1, 16, 4) };
    check::<f32>(&wide, &mut draws, &pools);
    check::<f32>(&Convolution { stride: [2, 3], ..wide.clone() }, &mut draws, &pools);
    check::<f64>(&Convolution { groups: 16, cout: 16, ..wide.clone() }, &mut draws, &pools);
    check::<f32>(&Convolution { n: 9, h: 40, cin: 8, ..wide }, &mut draws, &pools);
}

#[test]
fn images_without_output_and_kernels_that_reach_past_the_image() {
    let (mut draws, pools) = (Draws::new(14), pools());
    let none = Convolution { kh: 5, padding: [(0, 0), (1, 1)], ..plain(2, 3, 2, 3) };
    assert_eq!(none.output_extent()[0], 0);
    let reaching = Convolution { kh: 7, kw: 6, padding: [(5, 4), (3, 5)], ..plain(2, 3, 2, 3) };
    let skipping = Convolution { kh: 1, kw: 2, stride: [3, 3], ..plain(2, 8, 3, 4) };
    for it in [none, reaching, skipping] {
        check::<f32>(&it, &mut draws, &pools);
    }
}

#[test]
fn a_population_of_sixteen_on_every_sharing() {
    let (mut draws, pools) = (Draws::new(15), [Pool::with_isa(1, Isa::best()), Pool::new(3)]);
    for _ in 0..4 {
        check::<f32>(&Convolution { population: 16, ..plain(9, 12, 4, 4) }, &mut draws, &pools);
        check::<f32>(&Convolution { population: 16, ..plain(40, 8, 3, 16) }, &mut draws, &pools);
    }
}

#[test]
fn an_image_keeps_its_bits_in_any_batch() {
    let mut draws = Draws::new(16);
    let pool = Pool::new(2);
    for (cin, cout) in [(16, 16), (3, 8), (40, 12), (40, 5), (6, 40)] {
        let all = plain(13, 9, cin, cout);
        let one = Convolution { n: 1, ..all.clone() };
        let [x, w, y] = sizes(&one);
        let (image, weights) = (draws.numbers::<f32>(13 * x), draws.numbers::<f32>(w));
        let gradient = draws.numbers::<f32>(13 * y);
        let forward = run(&all, Pass::Forward, &pool, (&image, true), (&weights, true));
        let back = run(&all, Pass::InputGradient, &pool, (&gradient, true), (&weights, true));
        for n in 0..13 {
            let input = (&image[n * x..][..x], true);
            let alone = run(&one, Pass::Forward, &pool, input, (&weights, true));
            assert!(bits(&alone) == bits(&forward[n * y..][..y]));
            let input = (&gradient[n * y..][..y], true);
            let alone = run(&one, Pass::InputGradient, &pool, input, (&weights, true));
            assert!(bits(&alone) == bits(&back[n * x..][..x]));
        }
    }
}

#[test]
fn minimal_filtering_agrees_with_the_naive_sum_on_every_pool() {
    let (mut draws, pools) = (Draws::new(17), pools());
    for _ in 0..60 {
        let it = Convolution {
            population: draws.pick(&[1, 1, 2, 5]),
            n: draws.pick(&[1, 2, 3, 7]),
            h: draws.between(1, 13),
            w: draws.between(1, 13),
            cin: draws.pick(&[9, 16, 17, 24, 33, 40]),
            cout: draws.pick(&[9, 16, 19, 24, 33, 48]),
            padding: [
                (draws.between(0, 4), draws.between(0, 3)),
                (draws.between(0, 4), draws.between(0, 3)),
            ],
            ..plain(1, 1, 1, 1)
        };
        check::<f32>(&it, &mut draws, &pools);
        check::<f64>(&it, &mut draws, &pools);
    }
}

#[test]
fn minimal_filtering_is_what_large_sizes_are_done_by() {
    for (extent, channels) in [(32, 16), (16, 32), (8, 64), (7, 200)] {
        let it = plain(3, extent, channels, channels);
        assert!(Winograd::forward(&it, true, false).is_some(), "{extent} {channels}");
        assert!(Winograd::input_gradient(&it, false, true).is_some(), "{extent} {channels}");
        let small = channels * channels <= 128 * 128;
        assert_eq!(WeightTiles::new(&it, false, false).is_some(), small, "{extent} {channels}");
    }
    let others = [
        plain(3, 32, 3, 16),
        Convolution { stride: [2, 1], ..plain(3, 32, 16, 16) },
        Convolution { dilation: [1, 2], ..plain(3, 32, 16, 16) },
        Convolution { groups: 2, ..plain(3, 32, 32, 32) },
        Convolution { kw: 1, ..plain(3, 32, 16, 16) },
    ];
    for it in others {
        assert!(Winograd::forward(&it, false, false).is_none(), "{it:?}");
        assert!(WeightTiles::new(&it, false, false).is_none(), "{it:?}");
    }
}

/// Parts of the sum over tiles, blocks of channels, and blocks of tiles that end within rows.
#[test]
fn minimal_filtering_of_many_parts_and_blocks() {
    let (mut draws, pools) = (Draws::new(18), pools());
    for it in
        [plain(9, 31, 16, 12), plain(2, 9, 300, 20), plain(2, 6, 20, 280), plain(1, 80, 9, 16)]
    {
        check::<f32>(&it, &mut draws, &pools);
    }
}

#[test]
fn the_ends_of_every_operand_are_watched() {
    let base = Convolution {
        population: 2,
        n: 8,
        h: 8,
        w: 8,
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
    let point = Convolution { kh: 1, kw: 1, padding: [(0, 0); 2], n: 1, ..base.clone() };
    let cases = [
        Convolution { cin: 3, ..base.clone() },
        Convolution { cout: 4, ..base.clone() },
        Convolution { stride: [2, 2], ..base.clone() },
        Convolution { groups: 16, ..base.clone() },
        base,
        Convolution { h: 2, w: 2, cin: 4200, cout: 9, ..point.clone() },
        Convolution { h: 2, w: 2, cin: 9, cout: 4200, ..point.clone() },
        Convolution { h: 70, w: 70, cin: 2, cout: 3, ..point.clone() },
        Convolution { h: 70, w: 70, cin: 64, cout: 40, ..point },
    ];
    let pool = Pool::new(1);
    for (it, pass) in cases.iter().flat_map(|it| Pass::ALL.map(|pass| (it, pass))) {
        let way = it.way(pass, [false; 2]).unwrap();
        let [left, right, mut out] =
            operands(it, pass).map(|size| vec![0.5f32; size * it.population]);
        let mut scratch = vec![0u8; way.scratch_bytes::<f32>(&pool)];
        let known = [
            Operand::dense(left.as_ptr(), left.len(), false),
            Operand::dense(right.as_ptr(), right.len(), false),
            Operand::dense(out.as_ptr(), out.len(), true),
        ];
        let work = [Operand::dense(scratch.as_ptr(), scratch.len(), true)];
        let (left, right) = (left.as_ptr(), right.as_ptr());
        let (out, scratch) = (out.as_mut_ptr(), scratch.as_mut_ptr());
        bounds::assert_watched(&format!("{pass:?} {it:?}"), &known, &work, || {
            // SAFETY: the slices have the sizes of the shapes.
            unsafe { way.run(&pool, left, right, out, scratch) }
        });
    }
}
