use super::*;
use thalweg_array::DType;
use thalweg_graph::{Builder, TensorType};

fn count(text: &str, input: &[usize], outputs: usize) -> usize {
    text.parse::<Architecture>().unwrap().build(input, outputs).unwrap().parameter_count()
}

#[test]
fn parameter_counts_are_the_published_ones() {
    // He et al., table 6: 0.27M, 0.46M, 0.66M, 0.85M, 1.7M with option A.
    let image = [32, 32, 3];
    assert_eq!(count("resnet depth=20 shortcut=a", &image, 10), 269_722);
    assert_eq!(count("resnet depth=32 shortcut=a", &image, 10), 464_154);
    assert_eq!(count("resnet depth=44 shortcut=a", &image, 10), 658_586);
    assert_eq!(count("resnet depth=56 shortcut=a", &image, 10), 853_018);
    assert_eq!(count("resnet depth=110 shortcut=a", &image, 10), 1_727_962);
    assert_eq!(count("resnet depth=20", &image, 10), 272_474);
    assert_eq!(count("resnet depth=20 skip=false", &image, 10), 269_722);
    assert_eq!(count("mlp", &[28, 28, 1], 10), 203_530);
    assert_eq!(count("mlp hidden=none", &[28, 28, 1], 10), 7_850);
    assert_eq!(count("linear", &[64], 10), 650);
    // GPT-2 small and medium, and ViT-B/16 and ViT-L/16, as they are usually given.
    let gpt = |text: &str| count(text, &[1024], 50_257);
    assert_eq!(gpt("gpt depth=12 width=768 heads=12"), 124_439_808);
    assert_eq!(gpt("gpt depth=24 width=1024 heads=16"), 354_823_168);
    assert_eq!(gpt("gpt depth=12 width=768 heads=12 tied=false"), 124_439_808 + 768 * 50_257);
    let vit = |text: &str| count(text, &[224, 224, 3], 1000);
    assert_eq!(vit("vit patch=16 depth=12 width=768 heads=12"), 86_567_656);
    assert_eq!(vit("vit patch=16 depth=24 width=1024 heads=16"), 304_326_632);
    // Without the class token and its place.
    let mean = "vit patch=16 depth=12 width=768 heads=12 pool=mean";
    assert_eq!(vit(mean), 86_567_656 - 2 * 768);
    assert_eq!(count("deep-linear depth=2 width=5", &[3], 2), 25);
    // The authors' picture network: 2 coordinates, four times 256 units, one grey value.
    assert_eq!(count("siren hidden=256-256-256-256", &[2], 1), 768 + 3 * 65_792 + 257);
    let convnet = (9 + 1) * 16 + (9 * 16 + 1) * 32 + (9 * 32 + 1) * 64 + 65 * 10;
    assert_eq!(count("convnet", &[8, 8, 1], 10), convnet);
}

#[test]
fn names_are_those_of_torchvision() {
    let model = "resnet depth=8".parse::<Architecture>().unwrap().build(&[8, 8, 1], 10).unwrap();
    let names: Vec<_> = model.parameters().iter().map(|p| p.name.as_str()).collect();
    let block = |layer: &str| {
        ["conv1.weight", "bn1.weight", "bn1.bias", "conv2.weight", "bn2.weight", "bn2.bias"]
            .map(|name| format!("{layer}.0.{name}"))
    };
    let downsample = |layer: &str| {
        ["0.weight", "1.weight", "1.bias"].map(|name| format!("{layer}.0.downsample.{name}"))
    };
    let mut expected = ["conv1.weight", "bn1.weight", "bn1.bias"].map(str::to_owned).to_vec();
    expected.extend(block("layer1"));
    expected.extend(block("layer2").into_iter().chain(downsample("layer2")));
    expected.extend(block("layer3").into_iter().chain(downsample("layer3")));
    expected.extend(["fc.weight", "fc.bias"].map(str::to_owned));
    assert_eq!(names, expected);
    let buffers: Vec<_> = model.buffers().iter().map(|b| b.name.as_str()).collect();
    assert_eq!(buffers[..2], ["bn1.running_mean", "bn1.running_var"]);
    assert_eq!(buffers.len(), 18);
}

#[test]
fn names_are_those_of_hugging_face_and_timm() {
    let names = |text: &str, input: &[usize]| -> Vec<(String, Vec<usize>)> {
        let model = text.parse::<Architecture>().unwrap().build(input, 5).unwrap();
        model.parameters().iter().map(|p| (p.name.clone(), p.torch.shape.clone())).collect()
    };
    let expected = |list: &[(&str, &[usize])]| -> Vec<(String, Vec<usize>)> {
        list.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect()
    };
    let gpt = expected(&[
        ("transformer.wte.weight", &[5, 4]),
        ("transformer.wpe.weight", &[7, 4]),
        ("transformer.h.0.ln_1.weight", &[4]),
        ("transformer.h.0.ln_1.bias", &[4]),
        ("transformer.h.0.attn.c_attn.weight", &[4, 12]),
        ("transformer.h.0.attn.c_attn.bias", &[12]),
        ("transformer.h.0.attn.c_proj.weight", &[4, 4]),
        ("transformer.h.0.attn.c_proj.bias", &[4]),
        ("transformer.h.0.ln_2.weight", &[4]),
        ("transformer.h.0.ln_2.bias", &[4]),
        ("transformer.h.0.mlp.c_fc.weight", &[4, 16]),
        ("transformer.h.0.mlp.c_fc.bias", &[16]),
        ("transformer.h.0.mlp.c_proj.weight", &[16, 4]),
        ("transformer.h.0.mlp.c_proj.bias", &[4]),
        ("transformer.ln_f.weight", &[4]),
        ("transformer.ln_f.bias", &[4]),
    ]);
    assert_eq!(names("gpt depth=1 width=4 heads=2", &[7]), gpt);
    let untied = names("gpt depth=1 width=4 heads=2 tied=false", &[7]);
    assert_eq!(untied[16..], expected(&[("lm_head.weight", &[5, 4])]));
    let vit = expected(&[
        ("cls_token", &[1, 1, 4]),
        ("pos_embed", &[1, 7, 4]),
        ("patch_embed.proj.weight", &[4, 3, 2, 2]),
        ("patch_embed.proj.bias", &[4]),
        ("blocks.0.norm1.weight", &[4]),
        ("blocks.0.norm1.bias", &[4]),
        ("blocks.0.attn.qkv.weight", &[12, 4]),
        ("blocks.0.attn.qkv.bias", &[12]),
        ("blocks.0.attn.proj.weight", &[4, 4]),
        ("blocks.0.attn.proj.bias", &[4]),
        ("blocks.0.norm2.weight", &[4]),
        ("blocks.0.norm2.bias", &[4]),
        ("blocks.0.mlp.fc1.weight", &[16, 4]),
        ("blocks.0.mlp.fc1.bias", &[16]),
        ("blocks.0.mlp.fc2.weight", &[4, 16]),
        ("blocks.0.mlp.fc2.bias", &[4]),
        ("norm.weight", &[4]),
        ("norm.bias", &[4]),
        ("head.weight", &[5, 4]),
        ("head.bias", &[5]),
    ]);
    assert_eq!(names("vit patch=2 depth=1 width=4 heads=2", &[4, 6, 3]), vit);
    let mean = names("vit patch=2 depth=1 width=4 heads=2 pool=mean", &[4, 6, 3]);
    assert_eq!((mean[0].0.as_str(), &mean[0].1[..]), ("pos_embed", &[1, 6, 4][..]));
    assert_eq!(mean[15].0, "fc_norm.weight");
}

/// Examples that an architecture takes.
fn examples(kind: &Kind) -> Vec<Vec<usize>> {
    match kind.design().input_type() {
        PortType::Float => vec![vec![8, 8, 1], vec![28, 28, 1], vec![32, 32, 3]],
        PortType::Index => vec![vec![1], vec![16]],
    }
}

#[test]
fn every_architecture_takes_its_examples_and_prints_what_builds_it_again() {
    for kind in Kind::all() {
        for input in examples(&kind) {
            let architecture = Architecture { kind: kind.clone(), input: Vec::new(), outputs: 0 };
            assert_eq!(architecture.to_string().parse::<Architecture>().unwrap(), architecture);
            let model = architecture.build(&input, 10).unwrap();
            let [output] = model.outputs() else { panic!("{kind:?}: one output") };
            let positions = match output.shape[..] {
                [10] => Vec::new(),
                [positions, 10] => vec![positions],
                ref other => panic!("{kind:?}: {other:?}"),
            };
            assert_eq!(positions == input, model.inputs()[0].ty == PortType::Index);
            let filled = model.architecture().unwrap();
            let again: Architecture = filled.to_string().parse().unwrap();
            assert_eq!(&again, filled);
            assert_eq!(again.rebuild().unwrap().parameters(), model.parameters());
            let graph = model.evaluation_graph(DType::F64, 5).unwrap();
            let shape = [&[5], &positions[..], &[10]].concat();
            assert_eq!(graph.output_types().next().unwrap(), &TensorType::new(DType::F64, shape));
        }
    }
}

#[test]
fn every_normalization_and_activation_traces() {
    for (norm, _) in crate::layer::Normalization::NAMES {
        for activation in Activation::ALL {
            for name in ["mlp", "convnet", "resnet", "alternet"] {
                let text = format!("{name} norm={norm} activation={activation}");
                let architecture: Architecture = text.parse().unwrap();
                let model = architecture.build(&[8, 8, 1], 3).unwrap();
                assert!(model.parameters().len() > 3, "{text}");
            }
        }
    }
}

#[test]
fn wrong_options_get_one_sentence() {
    let message = |text: &str| match text.parse::<Architecture>() {
        Err(error) => error.to_string(),
        Ok(parsed) => parsed.build(&[8, 8, 1], 10).unwrap_err().to_string(),
    };
    assert_eq!(
        message("resnat depth=20"),
        "unknown architecture \"resnat\"; expected one of linear, mlp, deep-linear, siren, convnet, \
         resnet, alternet, vit, gpt"
    );
    assert_eq!(
        message("resnet widht=4"),
        "resnet has no option \"widht\"; it has input, outputs, depth, width, skip, shortcut, \
         norm, activation, bias, init, classifier (did you mean \"width\"?)"
    );
    assert_eq!(
        message("resnet depth=21"),
        "option depth of resnet: expected 6n + 2 from 8 to 1202, as 8, 14, 20, got \"21\""
    );
    assert_eq!(
        message("resnet depth=deep"),
        "option depth of resnet: expected a whole number, got \"deep\""
    );
    assert_eq!(
        message("resnet norm=bach"),
        "option norm of resnet: expected one of none, batch, group, layer, rms, got \"bach\""
    );
    assert_eq!(
        message("mlp hidden=3 hidden=4"),
        "option hidden of mlp: expected to be given once, got \"4\""
    );
    assert_eq!(
        message("mlp dropout=1"),
        "option dropout of mlp: expected a rate in [0, 1), got \"1\""
    );
    assert_eq!(
        message("mlp activation=relu(2)"),
        "option activation of mlp: expected one of identity, relu, leaky(0.01), gelu, gelu-tanh, \
         silu, tanh, sigmoid, sine(30), softplus, got \"relu(2)\""
    );
    assert_eq!(message("mlp outputs=3"), "mlp takes 3 outputs, got 10");
    assert_eq!(message("mlp input=3"), "mlp takes examples of 3, got 8x8x1");
    let flat = "resnet".parse::<Architecture>().unwrap().build(&[64], 10).unwrap_err();
    assert_eq!(flat.to_string(), "resnet takes images as height x width x channels, got 64");
    let gpt = "gpt".parse::<Architecture>().unwrap().build(&[8, 8, 1], 10).unwrap_err();
    assert_eq!(gpt.to_string(), "gpt takes sequences of tokens, got examples of 8x8x1");
    assert_eq!(
        message("vit patch=3"),
        "option patch of vit: expected a divisor of the image's extents 8 and 8, got \"3\""
    );
    assert_eq!(
        message("vit width=66"),
        "option heads of vit: expected a divisor of the width 66, got \"4\""
    );
    let unfilled = "linear".parse::<Architecture>().unwrap().rebuild().unwrap_err();
    assert_eq!(
        unfilled.to_string(),
        "linear takes the options input and outputs, got \"linear bias=true init=torch\""
    );
}

#[test]
fn arguments_that_do_not_fit_are_the_builders_error() {
    let model = "linear".parse::<Architecture>().unwrap().build(&[4], 2).unwrap();
    let b = Builder::new(DType::F32);
    let (parameters, buffers) = model.declare(&b);
    let x = b.input("x", TensorType::new(DType::F32, [3, 5]));
    let applied = model.apply(&b, &parameters, &buffers, x, &crate::Mode::EVALUATE);
    let error = b.finish(&[("y", applied.output)]).unwrap_err();
    assert_eq!((error.expected.as_str(), error.got.as_str()), ("f32[3, 4]", "f32[3, 5]"));

    let b = Builder::new(DType::F32);
    let (parameters, buffers) = model.declare(&b);
    let x = b.input("x", TensorType::new(DType::F32, [3, 4]));
    let applied = model.apply(&b, &parameters[1..], &buffers, x, &crate::Mode::EVALUATE);
    let error = b.finish(&[("y", applied.output)]).unwrap_err();
    assert_eq!((error.expected.as_str(), error.got.as_str()), ("2 parameters", "1"));
}

#[test]
fn the_shortcuts_count_and_the_noshort_variant_has_none() {
    let names = |text: &str| -> Vec<String> {
        let model = text.parse::<Architecture>().unwrap().build(&[32, 32, 3], 10).unwrap();
        model.parameters().iter().map(|p| p.name.clone()).collect()
    };
    let has_downsample = |names: Vec<String>| names.iter().any(|n| n.contains("downsample"));
    assert!(has_downsample(names("resnet")));
    assert!(!has_downsample(names("resnet shortcut=a")));
    assert!(!has_downsample(names("resnet skip=false")));
    assert!(names("resnet norm=none").contains(&"layer3.2.conv2.bias".to_owned()));
    assert!(!names("resnet norm=none bias=false").iter().any(|n| n.ends_with("bias")));
}

#[test]
fn sizes_that_no_machine_holds_are_refused() {
    let message = |text: &str| {
        let built = text.parse::<Architecture>().unwrap().build(&[8, 8, 1], 10);
        built.map(|_| text).unwrap_err().to_string()
    };
    assert_eq!(
        message("mlp hidden=4294967296-4294967296"),
        "the model is too large to be addressed: fc2.weight alone would be \
         [4294967296, 4294967296]"
    );
    assert_eq!(
        message("siren hidden=none"),
        "option hidden of siren: expected at least one layer, each of at least one unit, got \
         \"none\""
    );
    assert!(message("siren omega=0").contains("expected a positive number"));
    assert_eq!(
        message("deep-linear depth=1000000000"),
        "option depth of deep-linear: expected 1 to 1024, got \"1000000000\""
    );
    let gpt = "gpt width=4611686018427387904".parse::<Architecture>().unwrap();
    assert!(gpt.build(&[usize::MAX], usize::MAX).is_err());
    for text in [
        "vit patch=2 width=4611686018427387904",
        "vit width=9223372036854775808 pool=mean",
        "mlp hidden=18446744073709551615",
        "deep-linear width=9223372036854775807",
        "convnet channels=1000000000-1000000000",
        "convnet channels=4611686018427387904 head=flatten",
        "resnet width=1000000000 shortcut=a",
        "resnet width=4611686018427387904",
        "resnet width=2305843009213693952 norm=none skip=false",
        "alternet width=4611686018427387904",
        "alternet head_units=9223372036854775807",
    ] {
        assert!(!message(text).is_empty(), "{text}");
    }
}

#[test]
fn weights_are_drawn_as_the_scheme_and_the_activation_say() {
    use crate::initialize::{Fan, Initializer};
    let of = |text: &str, name: &str| {
        let model = text.parse::<Architecture>().unwrap().build(&[8, 8, 1], 10).unwrap();
        model.parameters().iter().find(|p| p.name == name).unwrap().initializer
    };
    let normal = |fan, gain| Initializer::KaimingNormal { fan, gain };
    let root_two = std::f64::consts::SQRT_2;
    assert_eq!(of("mlp init=kaiming", "fc1.weight"), normal(Fan::In, root_two));
    // Nothing follows the last layer.
    assert_eq!(of("mlp init=kaiming", "fc2.weight"), normal(Fan::In, 1.0));
    let leaky = of("mlp init=kaiming activation=leaky(0.5)", "fc1.weight");
    assert_eq!(leaky, normal(Fan::In, (2.0f64 / 1.25).sqrt()));
    assert_eq!(of("mlp init=lecun", "fc1.weight"), normal(Fan::In, 1.0));
    let tanh = of("mlp init=xavier activation=tanh", "fc1.weight");
    assert_eq!(tanh, Initializer::XavierUniform { gain: 5.0 / 3.0 });
    let square = of("deep-linear init=orthogonal", "fc2.weight");
    assert_eq!(square, Initializer::Orthogonal { gain: 1.0 });
    assert_eq!(
        of("siren omega=7", "net.0.linear.weight"),
        Initializer::Siren { first: true, omega: 7.0 }
    );
    for name in ["net.2.linear.weight", "net.3.weight"] {
        assert_eq!(of("siren", name), Initializer::Siren { first: false, omega: 30.0 });
    }
    let siren = "mlp hidden=8-8 activation=sine(7) init=siren";
    assert_eq!(of(siren, "fc1.weight"), Initializer::Siren { first: true, omega: 7.0 });
    assert_eq!(of(siren, "fc2.weight"), Initializer::Siren { first: false, omega: 7.0 });
    assert_eq!(of(siren, "fc3.weight"), Initializer::Siren { first: false, omega: 7.0 });
    assert_eq!(of("resnet", "layer1.0.conv2.weight"), normal(Fan::Out, root_two));
    // Nine blocks whose variances would double.
    let damped = of("resnet norm=none", "layer1.0.conv2.weight");
    assert_eq!(damped, normal(Fan::Out, root_two * (1.0 / 9f64.sqrt())));
    assert_eq!(of("resnet norm=none", "layer1.0.conv1.weight"), normal(Fan::Out, root_two));
    assert_eq!(of("vit", "patch_embed.proj.weight"), normal(Fan::In, 1.0));
    assert_eq!(of("vit", "blocks.0.attn.qkv.bias"), Initializer::Constant(0.0));
    assert_eq!(of("vit", "head.weight"), Initializer::Constant(0.0));
    let spread = |standard_deviation| Initializer::Normal { standard_deviation };
    assert_eq!(of("vit", "blocks.5.mlp.fc2.bias"), spread(1e-6));
    let gpt = "gpt depth=8".parse::<Architecture>().unwrap().build(&[16], 10).unwrap();
    for parameter in gpt.parameters() {
        let expected = match parameter.name.rsplit('.').take(2).collect::<Vec<_>>()[..] {
            // Eight blocks add to the stream twice each.
            ["weight", "c_proj"] => spread(0.02 / 4.0),
            ["weight", "ln_1" | "ln_2" | "ln_f"] => Initializer::Constant(1.0),
            ["weight", _] => spread(0.02),
            _ => Initializer::Constant(0.0),
        };
        assert_eq!(parameter.initializer, expected, "{}", parameter.name);
    }
    let plain = of("resnet norm=none skip=false", "layer1.0.conv2.weight");
    assert_eq!(plain, normal(Fan::Out, root_two));
}

/// Alike for equal names, and of both signs.
struct Waves;

impl crate::Draw for Waves {
    fn uniform(&mut self, name: &str, n: usize) -> Vec<f64> {
        let phase: u32 = name.bytes().map(u32::from).sum();
        (0..n).map(|i| 0.5 + 0.5 * (f64::from(phase) + 1.7 * i as f64).sin()).collect()
    }

    fn normal(&mut self, name: &str, n: usize) -> Vec<f64> {
        self.uniform(name, n).into_iter().map(|u| 2.0 * u - 1.0).collect()
    }
}

/// The outputs of a network on two images, its parameters changed before.
fn outputs(text: &str, change: impl Fn(&str, Vec<f64>) -> Vec<f64>) -> Vec<f64> {
    let model = text.parse::<Architecture>().unwrap().build(&[6, 6, 1], 3).unwrap();
    let weights = model.initialize(&mut Waves, DType::F64).unwrap();
    let changed = weights.parameters.iter().map(|(name, array)| {
        let values = change(name, array.to_f64_vec());
        thalweg_array::Array::from_slice(array.shape(), &values).unwrap()
    });
    let mut inputs: Vec<_> = changed.collect();
    inputs.extend(weights.buffers.into_arrays());
    let images: Vec<f64> = (0..72).map(|i| (0.3 * f64::from(i)).cos()).collect();
    inputs.push(thalweg_array::Array::from_slice(&[2, 6, 6, 1], &images).unwrap());
    let graph = model.evaluation_graph(DType::F64, 2).unwrap();
    thalweg_exec::reference::evaluate(&graph, &inputs).unwrap()[0].to_f64_vec()
}

#[test]
fn blocks_may_begin_as_their_shortcuts() {
    let same = |_: &str, values: Vec<f64>| values;
    // What is computed on the way to what a block adds.
    let branches = |name: &str, values: Vec<f64>| match name.starts_with("layer") {
        true if name.contains("conv1") => values.into_iter().map(|x| 0.5 - 3.0 * x).collect(),
        _ => values,
    };
    for norm in ["batch", "group", "layer", "rms", "none"] {
        let text = |init: &str| format!("resnet depth=14 width=2 norm={norm} init={init}");
        let (zero, plain) = (text("zero"), text("plain"));
        let found = outputs(&zero, same);
        assert!(found.iter().any(|x| x.abs() > 1e-3), "{zero}: {found:?}");
        assert_eq!(found, outputs(&zero, branches), "{zero}");
        assert_ne!(outputs(&plain, same), outputs(&plain, branches), "{plain}");
        // They learn: what a block adds is seen as soon as its last factors are something.
        let begun = |name: &str, values: Vec<f64>| match norm {
            "none" if name.ends_with("conv2.weight") => vec![0.1; values.len()],
            _ if name.ends_with("bn2.weight") => vec![0.1; values.len()],
            _ => values,
        };
        assert_ne!(found, outputs(&zero, begun), "{zero}");
    }
    let message = |text: &str| {
        let refused = text.parse::<Architecture>().unwrap().build(&[8, 8, 1], 10).unwrap_err();
        refused.to_string()
    };
    assert!(message("resnet skip=false init=zero").contains("plain without skips"));
    assert!(message("resnet init=fixup").contains("fixup with norm=none"));
}

#[test]
fn fixup_is_scaled_by_the_number_of_blocks() {
    use crate::initialize::{Fan, Initializer};
    let text = "resnet norm=none init=fixup shortcut=a";
    // The published 269,722 without normalisations, five scalars a block and two more.
    assert_eq!(count(text, &[32, 32, 3], 10), 269_722 - 1376 + 9 * 5 + 2);
    let model = text.parse::<Architecture>().unwrap().build(&[32, 32, 3], 10).unwrap();
    let root_two = std::f64::consts::SQRT_2;
    for parameter in model.parameters() {
        let name = parameter.name.as_str();
        let scaled = |factor: f64| Initializer::KaimingNormal { fan: Fan::Out, gain: factor };
        // Two layers a block: L^(-1 / (2 m - 2)) is the root of a ninth.
        let expected = match name.rsplit('.').take(2).collect::<Vec<_>>()[..] {
            ["weight", "conv1"] if name == "conv1.weight" => scaled(root_two),
            ["weight", "conv1"] => scaled((1.0 / 9f64.sqrt()) * root_two),
            ["scale", _] => Initializer::Constant(1.0),
            _ => Initializer::Constant(0.0),
        };
        assert_eq!(parameter.initializer, expected, "{name}");
        assert!(!name.ends_with("conv1.bias") && !name.ends_with("conv2.bias"), "{name}");
    }
    let small = "resnet depth=14 width=2 norm=none init=fixup";
    assert_eq!(outputs(small, |_, values| values), [0.0; 6]);
    // Every scalar is part of the function.
    let moved = |moved: Option<&str>| {
        outputs(small, |name, values| match name {
            "fc.weight" => values.iter().enumerate().map(|(i, _)| (i as f64).sin()).collect(),
            _ if name.ends_with("conv2.weight") => vec![0.2; values.len()],
            _ if moved == Some(name) => vec![0.7],
            _ => values,
        })
    };
    let still = moved(None);
    for name in ["bias1", "bias2"] {
        assert_ne!(moved(Some(name)), still, "{name}");
    }
    for name in ["bias1a", "bias1b", "bias2a", "scale", "bias2b"] {
        assert_ne!(moved(Some(&format!("layer2.1.{name}"))), still, "{name}");
    }
}
