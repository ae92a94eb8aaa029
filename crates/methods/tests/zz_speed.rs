//! scratch
mod common;
use common::*;
use std::time::Instant;
use thalweg_array::DType;
use thalweg_exec::Executor;
use thalweg_methods::registry::Instrument;
use thalweg_methods::surface::*;
use thalweg_methods::*;
#[test]
fn speed() {
    let executor = Executor::new(2);
    let ctx = Context::new(&executor, 0).with_memory(1 << 30);
    for _ in 0..3 {
        for (wanted, batch) in
            [(4, 128), (8, 128), (16, 128), (32, 128), (4, 512), (8, 512), (16, 512), (32, 512)]
        {
            let model = model("resnet depth=44 width=4", &[8, 8, 1], 10);
            let point = weights(&model, DType::F32);
            let config = ObjectiveConfig { batch, ..ObjectiveConfig::default() };
            let objective = on_digits(&ctx, &model, Some(512), &config);
            let p = random_planes(&ctx, &objective, &point, &DirectionConfig::default(), 1, true)
                .unwrap()
                .remove(0);
            let t = Instant::now();
            let ev =
                Evaluator::affine(&ctx, &objective, &point, &[p.x, p.y.unwrap()], wanted).unwrap();
            let c = t.elapsed();
            let pts: Vec<Vec<f64>> = (0..64).map(|i| vec![i as f64 * 0.01, 0.3]).collect();
            let t = Instant::now();
            ev.at(&pts).unwrap();
            println!("wanted {wanted} batch {batch} compile {c:?} 64 points {:?}", t.elapsed());
        }
    }
    let model = model("resnet depth=44 width=4", &[8, 8, 1], 10);
    let point = weights(&model, DType::F32);
    let config = ObjectiveConfig { batch: 512, ..ObjectiveConfig::default() };
    let objective = on_digits(&ctx, &model, Some(512), &config);
    let t = Instant::now();
    let r = RoughnessIndex::measure(&ctx, &objective, &point, &RoughnessConfig::default()).unwrap();
    println!("  roughness {:?} {:?}", t.elapsed(), r.index);
}
