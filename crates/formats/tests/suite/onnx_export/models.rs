//! Every architecture, with the options that change its operations.

use super::case::Case;
use thalweg_data::Normalization;
use thalweg_nn::Architecture;

const IMAGE: &[usize] = &[8, 6, 3];

/// Text of the architecture, examples, outputs.
const MODELS: [(&str, &[usize], usize); 25] = [
    ("linear", IMAGE, 5),
    ("linear bias=false", &[7], 5),
    ("mlp hidden=6-5", IMAGE, 4),
    ("mlp hidden=6 norm=batch activation=gelu", IMAGE, 4),
    ("mlp hidden=6 norm=layer activation=softplus bias=false", &[7], 4),
    ("mlp hidden=8 norm=group activation=silu", &[7], 4),
    ("mlp hidden=6 norm=rms activation=sine(2)", &[7], 4),
    ("deep-linear", IMAGE, 4),
    ("siren hidden=6-5 omega=3", &[2], 3),
    ("convnet channels=4-6", IMAGE, 5),
    ("convnet channels=4-6 norm=batch head=flatten activation=leaky(0.2)", IMAGE, 5),
    ("convnet channels=4-6 norm=layer pool=average activation=tanh", IMAGE, 5),
    ("convnet channels=4-6 norm=rms pool=none head=flatten activation=gelu-tanh", IMAGE, 5),
    ("convnet channels=4-6 norm=group activation=sigmoid bias=false", IMAGE, 5),
    ("resnet depth=8 width=4", IMAGE, 5),
    ("resnet depth=8 width=4 norm=group shortcut=a", IMAGE, 5),
    ("resnet depth=8 width=4 norm=none skip=false", IMAGE, 5),
    ("resnet depth=8 width=4 norm=layer bias=false", IMAGE, 5),
    ("alternet blocks=2-2 attention=0-1 heads=1-2 width=4 head_units=3 window=2", IMAGE, 5),
    ("alternet blocks=2 attention=1 heads=2 width=4 head_units=3 norm=none stem=2", IMAGE, 5),
    ("vit patch=2 depth=2 width=8 heads=2", IMAGE, 5),
    ("vit patch=2 depth=1 width=8 heads=2 pool=mean", IMAGE, 5),
    ("gpt depth=2 width=8 heads=2", &[6], 9),
    ("gpt depth=1 width=8 heads=1 tied=false", &[6], 9),
    ("mlp hidden=none", &[1], 1),
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (text, input, outputs) in MODELS {
        let model = text.parse::<Architecture>().unwrap().build(input, outputs).unwrap();
        let mut case = Case { entries: outputs, ..Case::new(text, model) };
        if input == IMAGE {
            case.normalization = Some(Normalization {
                mean: vec![0.25, -0.5, 0.0],
                divisor: vec![2.0, 0.75, 1.5],
                constant: Vec::new(),
            });
        }
        cases.push(case);
    }
    let names: Vec<&str> = MODELS.iter().map(|(text, ..)| *text).collect();
    for architecture in Architecture::names() {
        let found = names.iter().any(|text| text.split(' ').next() == Some(architecture));
        assert!(found, "a case of {architecture}");
    }
    cases
}
