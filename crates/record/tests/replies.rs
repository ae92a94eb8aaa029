//! Every reply against the schema, key by key, and the schema against broken replies.

use serde_json::Value;
use thalweg_record::reply::*;
use thalweg_record::{
    AdaptiveSummary, BasinSummary, ConvexitySummary, Density, Eigenvalue, Estimate, Extent,
    GridPoint, InspectedArray, InspectedOperation, InspectedPort, Inspection, LoopReply,
    MinimumReply, Outliers, Place, PlaneShare, Products, Quantity, RelativeTo, schema,
};

fn reply(body: Body) -> Reply {
    let (version, run) = ("0.1.0".into(), Some("runs/a".into()));
    Reply { version, run, seconds: 1.5, recomputed_flops: 0, body }
}

fn estimate(value: f64) -> Quantity {
    Estimate { value, standard_error: 0.25, samples: 16 }.into()
}

fn adaptive() -> AdaptiveSummary {
    AdaptiveSummary {
        tolerance: 0.01,
        evaluated: 300,
        evaluations: 60_000,
        held_out: 39,
        beyond_tolerance: 1,
        sampling: 0.8,
        interpolation: 0.4,
    }
}

fn share(pair: Option<u32>) -> PlaneShare {
    PlaneShare { of: "curvature".into(), pair, share: estimate(0.4) }
}

fn inspect() -> Reply {
    let array = |name: &str, role: &str, axes: &[&str]| InspectedArray {
        name: name.into(),
        shape: vec![3, 4],
        role: role.into(),
        axes: axes.iter().map(|&axis| axis.to_owned()).collect(),
    };
    let port = |name: &str| InspectedPort {
        name: name.into(),
        shape: vec![Extent::Free("batch".into()), Extent::Fixed(4)],
        element: "f32".into(),
    };
    reply(Body::Inspect(Inspection {
        path: "m.onnx".into(),
        format: "onnx".into(),
        producer: Some("pytorch 2.15.0".into()),
        opset: Some(18),
        architecture: None,
        inputs: vec![port("x")],
        outputs: vec![port("logits")],
        parameter_count: 12,
        flops: Some(24),
        parameters: vec![array("fc.weight", "weight", &["output", "input"])],
        buffers: vec![array("norm.running_mean", "mean", &["other"])],
        operations: vec![InspectedOperation { name: "Gemm".into(), count: 1, supported: true }],
        notes: vec!["it ends in a softmax".into()],
    }))
}

fn map(loss: f64) -> Reply {
    let model = MapModel {
        name: "with skips".into(),
        parameters: 1234,
        test_accuracy: Some(0.98),
        loss: loss.into(),
        top_eigenvalue: estimate(12.5),
        trace: estimate(40.0),
        sharpness: estimate(0.5),
        roughness: estimate(0.1),
        plane_shares: vec![share(None)],
        adaptive: Some(adaptive()),
    };
    reply(Body::Map(MapBody { models: vec![model], report: "runs/a/report.html".into() }))
}

fn train(train_loss: f64, status: MemberStatus) -> Reply {
    let member = Member {
        seed: 3,
        lr: 0.1,
        status,
        steps: 100,
        train_loss,
        test_loss: Some(train_loss),
        test_accuracy: None,
        weights: "runs/a/weights/0.safetensors".into(),
    };
    reply(Body::Train(TrainBody { members: vec![member] }))
}

fn convexity() -> ConvexitySummary {
    ConvexitySummary {
        points: 9,
        convex: 1,
        not_finite: 0,
        median_ratio: 0.1,
        largest_ratio: f64::NAN,
        ratio_error: 0.01,
        products: 90,
    }
}

fn basin() -> BasinSummary {
    let estimate = Estimate { value: -3.0, standard_error: 0.5, samples: 64 };
    BasinSummary {
        rise: 0.1,
        rays: 64,
        dimension: 650,
        unit: "filter".into(),
        mean_radius: estimate,
        quartiles: [1.0, 2.0, 3.0],
        not_left: 0,
        not_finite: 0,
        log_volume: estimate,
        effective_rays: 1.5,
        log_volume_bound: estimate,
    }
}

fn deep() -> MinimumReply {
    let persistence = Estimate { value: 1.5, standard_error: 0.1, samples: 512 }.into();
    let saddle = GridPoint { x: 0.0, y: -0.5, loss: 1.75 };
    MinimumReply { pair: Some(0), x: 0.5, y: -1.0, loss: 0.25, saddle, persistence, at_rim: false }
}

fn around(peak: Option<GridPoint>) -> LoopReply {
    let saddle = GridPoint { x: 0.0, y: -0.5, loss: 1.75 };
    LoopReply { pair: None, saddle, peak, persistence: peak.map(|_| estimate(0.5)) }
}

fn surface(loss: f64, minimum: Option<GridPoint>) -> Reply {
    reply(Body::Surface(Box::new(SurfaceBody {
        loss: minimum.map_or(loss.into(), |_| estimate(loss)),
        minimum,
        maximum: minimum,
        points: 961,
        not_finite: 0,
        normalize: "filter".into(),
        ignore: vec!["bias".into()],
        batch_norm: "frozen".into(),
        directions: "random".into(),
        line: minimum.is_none(),
        samples: 512,
        adaptive: minimum.map(|_| adaptive()),
        space: "weights".into(),
        plane_shares: minimum.map(|_| share(Some(1))).into_iter().collect(),
        places: minimum.map(|_| Place { x: 1.0, y: 2.0, distance: 0.5 }).into_iter().collect(),
        convexity: minimum.map(|_| convexity()),
        basin: minimum.map(|_| basin()),
        classes: minimum
            .map(|_| vec![ClassReply { class: 3, examples: 9, minimum, maximum: None }]),
        slope: vec![estimate(0.1), 0.2.into()],
        curvature: vec![estimate(1.0), minimum.map_or(2.0, |_| f64::NAN).into()],
        minima: minimum.map(|_| deep()).into_iter().collect(),
        minima_count: 1,
        minima_threshold: 0.01,
        loops: vec![around(None), around(minimum)],
        loops_count: 2,
        total_variation: vec![3.5],
    })))
}

fn spectrum(trace: Option<Quantity>, density: Option<Density>) -> Reply {
    let top = vec![Eigenvalue { value: 2.0, residual: 1e-6, sampling_error: trace.map(|_| 0.1) }];
    reply(Body::Spectrum(SpectrumBody {
        operator: "hessian".into(),
        scope: "whole".into(),
        preconditioner: Some("adam".into()),
        relative_to: trace.map(|_| RelativeTo {
            operator: "fisher".into(),
            damping: 0.001,
            preconditioner: Some("fisher-kfac".into()),
        }),
        loss: trace.unwrap_or(0.5.into()),
        gradient_norm: 0.1,
        bottom: density.is_some().then(|| top.clone()),
        top,
        trace,
        frobenius_squared: trace,
        products: Products {
            eigenvalues: 24,
            trace: trace.map_or(0, |_| 32),
            density: density.as_ref().map_or(0, |_| 384),
            relative_to: trace.map_or(0, |_| 24),
            sampling_error: trace.map_or(0, |_| 9),
        },
        outliers: density.as_ref().map(|density| Outliers {
            below: -density.values[0],
            above: density.values[0],
            count: Estimate { value: 3.1, standard_error: 0.2, samples: 8 },
            found: 3,
        }),
        density,
    }))
}

fn completions() -> Reply {
    reply(Body::Completions(CompletionsBody { shell: "bash".into(), script: "complete".into() }))
}

fn papers() -> Reply {
    let entry = PaperEntry {
        n: 1,
        slug: "sam".into(),
        title: "Sharpness".into(),
        family: "optim".into(),
        kind: "optimizer".into(),
        status: PaperStatus::Planned,
        size: "M".into(),
        source: "arXiv 2010.01412".into(),
        claim: "Flat minima generalise.".into(),
    };
    Reply { run: None, ..reply(Body::Papers(PapersBody { papers: vec![entry] })) }
}

fn check(value: f64) -> ReproduceBody {
    let interval = CheckInterval { low: value, high: 2.0 };
    ReproduceBody {
        slug: "sam".into(),
        claim: "flatter".into(),
        verdict: Verdict::Inconclusive,
        statistic: estimate(value),
        criterion: "ratio below 1".into(),
        seeds: vec![0, 1, 2],
        scale: "whole".into(),
        flops: 1 << 40,
        settings: 5,
        detectable: "much".into(),
        gates: vec![CheckGate { name: "control".into(), passed: true, found: "1".into() }],
        parts: vec![CheckPart {
            name: "ratio".into(),
            statistic: estimate(value),
            interval,
            criterion: "interval below 1".into(),
            verdict: Verdict::Inconclusive,
        }],
        readings: vec![
            CheckReading { name: "seen".into(), value, interval: Some(interval) },
            CheckReading { name: "alone".into(), value, interval: None },
        ],
    }
}

fn reproduce() -> Reply {
    reply(Body::Reproduce(check(f64::NAN)))
}

fn reproduce_all() -> Reply {
    let dated = |value| DatedCheck {
        found: check(value),
        seconds: 12.5,
        date: "2026-01-31".into(),
        version: "0.1.0".into(),
    };
    let checks = vec![dated(0.5), dated(f64::NAN)];
    let failed = vec![FailedCheck { slug: "nap".into(), error: "no such data".into() }];
    let results = "runs/a/RESULTS.md".into();
    reply(Body::ReproduceAll(ReproduceAllBody { checks, failed, results }))
}

#[test]
fn what_could_not_be_run_is_a_failure_of_the_whole() {
    let Body::ReproduceAll(mut body) = reproduce_all().body else { panic!("checks") };
    let told = Body::ReproduceAll(body.clone()).failure();
    assert_eq!(told.as_deref(), Some("1 of 3 checks could not be run: nap"));
    body.failed.clear();
    assert_eq!(Body::ReproduceAll(body).failure(), None);
    assert_eq!(reproduce().body.failure(), None);
}

#[test]
fn a_check_comes_back_from_what_was_written_of_it() {
    let Body::ReproduceAll(body) = reproduce_all().body else { panic!("a check") };
    let written = serde_json::to_string(&body.checks[0]).unwrap();
    let back: DatedCheck = serde_json::from_str(&written).unwrap();
    assert_eq!(back, body.checks[0]);
}

fn all() -> Vec<Reply> {
    let density = |value| Density {
        centres: vec![0.0, 1.0],
        values: vec![value, 0.5],
        standard_errors: vec![0.1, 0.1],
    };
    vec![
        map(0.1),
        map(f64::NAN),
        train(0.2, MemberStatus::Finished),
        train(f64::INFINITY, MemberStatus::Diverged),
        surface(0.1, Some(GridPoint { x: 0.0, y: -0.5, loss: 0.1 })),
        surface(f64::NAN, None),
        spectrum(None, None),
        Reply { recomputed_flops: 1 << 40, ..spectrum(None, None) },
        spectrum(Some(Quantity::Exact(3.0)), Some(density(1.0))),
        spectrum(Some(estimate(f64::NAN)), Some(density(f64::NAN))),
        Reply { run: None, ..completions() },
        Reply { run: None, ..inspect() },
        papers(),
        reproduce(),
        reproduce_all(),
    ]
}

#[test]
fn every_reply_keeps_the_schema() {
    for reply in all() {
        let text = reply.to_json();
        schema::check(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert!(!text.contains('\n'));
    }
    let error =
        ErrorReply { command: "map".into(), version: "0.1.0".into(), error: "no such file".into() };
    schema::check(&error.to_json()).unwrap();
}

#[test]
fn keys_are_those_of_the_design() {
    let keys = |reply: Reply| {
        let Ok(Value::Object(object)) = serde_json::from_str(&reply.to_json()) else { panic!() };
        let common = ["command", "version", "run", "seconds"];
        assert!(common.iter().all(|key| object.contains_key(*key)));
        object.keys().filter(|key| !common.contains(&key.as_str())).cloned().collect::<Vec<_>>()
    };
    assert_eq!(keys(map(0.1)), ["models", "report"]);
    assert_eq!(keys(train(0.1, MemberStatus::Finished)), ["members"]);
    assert_eq!(keys(papers()), ["papers"]);
    // What the design names; a surface may say more of itself.
    let found = keys(surface(0.1, None));
    for key in [
        "batch_norm",
        "directions",
        "ignore",
        "loss",
        "maximum",
        "minimum",
        "normalize",
        "points",
        "samples",
    ] {
        assert!(found.iter().any(|known| known == key), "{key} in {found:?}");
    }
}

#[test]
fn a_null_number_has_a_status_beside_it() {
    let parse = |reply: Reply| serde_json::from_str::<Value>(&reply.to_json()).unwrap();
    let broken = parse(map(f64::NAN));
    assert_eq!(broken["models"][0]["loss"], Value::Null);
    assert_eq!(broken["models"][0]["status"], "not finite");
    assert_eq!(broken["status"], Value::Null);
    assert_eq!(parse(map(0.1))["models"][0].get("status"), None);
    let diverged = parse(train(f64::NAN, MemberStatus::Diverged));
    assert_eq!(diverged["members"][0]["status"], "diverged");
    assert_eq!(parse(surface(1.0, None)).get("status"), None);
    assert_eq!(parse(surface(f64::NAN, None))["status"], "not finite");
    assert_eq!(parse(reproduce())["statistic"]["status"], "not finite");
}

#[test]
fn the_schema_sees_missing_strange_and_ill_typed_keys() {
    for reply in all() {
        let text = reply.to_json();
        let whole: Value = serde_json::from_str(&text).unwrap();
        let object = whole.as_object().unwrap();
        for key in object.keys() {
            let mut other = object.clone();
            other.insert(key.clone(), Value::Object(Default::default()));
            assert!(schema::check(&Value::Object(other).to_string()).is_err(), "{key} in {text}");
        }
        let mut more = object.clone();
        more.insert("surprise".into(), Value::from(1));
        assert!(schema::check(&Value::Object(more).to_string()).is_err());
        for key in ["command", "version", "run", "seconds"] {
            let mut less = object.clone();
            less.remove(key);
            assert!(schema::check(&Value::Object(less).to_string()).is_err());
        }
    }
}
