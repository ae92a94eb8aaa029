//! Data of a user's own: tables, folders of images, pictures, and what is said of them.

use crate::harness::Bench;
use serde_json::Value;

/// A table whose class shows in the first of three columns.
fn flowers(rows: usize, kinds: &[&str]) -> String {
    let mut text = String::from("petal;width;kind\n");
    for row in 0..rows {
        let kind = row % kinds.len();
        let petal =
            10.0 * ["iris", "lily", "rose"].iter().position(|k| *k == kinds[kind]).unwrap() as f64;
        text +=
            &format!("{};{};{}\n", petal + 0.01 * row as f64, 0.1 * (row % 7) as f64, kinds[kind]);
    }
    text
}

fn loss(object: &Value) -> f64 {
    object["loss"].as_f64().unwrap_or_else(|| panic!("{object}"))
}

#[test]
fn a_table_is_trained_on_and_a_test_set_without_a_class_measured() {
    let bench = Bench::new("csv");
    bench.write("flowers.csv", flowers(60, &["rose", "iris", "lily"]));
    bench.write("few.csv", flowers(20, &["lily", "rose"]));
    let train = r#"train --data flowers.csv --arch "mlp hidden=8" --epochs 30 --batch 8 --out m"#;
    let object = bench.json(train);
    assert_eq!(object["members"][0]["test_accuracy"], 1.0, "{object}");
    let own = bench.ok("surface m --x 0:0:1 --line --json --out own");
    assert!(own.stderr.contains("2 features, predicted is `kind`"), "{}", own.stderr);
    // The names of the classes come with the weights: lily stays the second, rose the third.
    let line = "surface m --data few.csv --split test --x 0:0:1 --line --json --out few";
    let few = bench.ok(line);
    assert!(few.stderr.contains("of 3 classes no example has label 0"), "{}", few.stderr);
    assert!(loss(&few.json()) < 0.3, "{}", few.stdout);
    let study = String::from_utf8(bench.read("few/study.toml")).unwrap();
    assert!(study.contains("[data.reading]") && study.contains("\"lily\""), "{study}");
}

#[test]
fn numbers_of_a_table_are_predicted() {
    let bench = Bench::new("regression");
    let rows: String = (0..40).map(|i| format!("{i},{},{}\n", i % 5, 3 * i)).collect();
    bench.write("prices.csv", format!("size,rooms,price\n{rows}"));
    let message = bench.run("train --data prices.csv --steps 1").sentence();
    assert!(message.contains("column `price` run to 117"), "{message}");
    assert!(message.contains("--task classification"), "{message}");
    let train = "train --data prices.csv --task regression --arch linear --steps 300 --batch 8 \
                 --lr 0.01 --out m";
    let first = bench.json(&train.replace("300", "1").replace("--out m", "--out short"));
    let object = bench.json(train);
    let of = |object: &Value| object["members"][0]["test_loss"].as_f64().unwrap();
    assert!(of(&object) < 0.1 * of(&first), "{object}");
    // What was said of the data comes with the weights.
    bench.json("surface m --x -1:1:3 --line --out s");
}

#[test]
fn a_data_set_is_described() {
    let bench = Bench::new("describe");
    bench.write("flowers.csv", flowers(60, &["rose", "iris", "lily"]));
    let told = bench.json("data flowers.csv");
    let told = &told["described"];
    assert_eq!((&told["kind"], &told["examples"]), (&"a CSV file".into(), &60.into()));
    assert_eq!(told["classes"][2]["name"], "rose");
    assert_eq!(told["classes"][2]["train"], 20);
    assert_eq!(told["channels"][1]["maximum"].as_f64().map(|v| v as f32), Some(0.6));
    let message = bench.run("data flowers.csv --target petal").sentence();
    assert!(message.contains("column `kind` holds text (row 2: `rose`)"), "{message}");
}

#[test]
fn folders_of_images_are_read_as_a_toml_file_says() {
    let bench = Bench::new("folders");
    let picture = include_bytes!("../../../formats/tests/fixtures/data/colour.png");
    let photo = include_bytes!("../../../formats/tests/fixtures/data/smooth.jpg");
    for i in 0..6 {
        bench.write(&format!("pets/cat/{i}.png"), picture);
        bench.write(&format!("pets/dog/{i}.jpg"), photo);
    }
    let message = bench.run("data pets").sentence();
    assert!(message.contains("5x7 (6 images), 24x32 (6 images)"), "{message}");
    bench.write("pets/thalweg.toml", "resize = 8\nscale = \"imagenet\"\n");
    let told = bench.json("data pets");
    assert_eq!(told["described"]["shape"], serde_json::json!([8, 8, 3]));
    let train = r#"train --data pets --arch "mlp hidden=4" --steps 3 --batch 4"#;
    bench.ok(&format!("{train} --out own"));
    let read = bench.read("own/weights/seed-0.safetensors");
    let text = String::from_utf8_lossy(&read);
    assert!(text.contains("0.485 0.456 0.406"), "the scale that was said comes with the weights");
    bench.ok(&format!("{train} --scale none --out raw"));
    let read = bench.read("raw/weights/seed-0.safetensors");
    assert!(!String::from_utf8_lossy(&read).contains("normalization_mean"));
    // Read again as they were trained, and in another way if it is said.
    let own = loss(&bench.json("surface own --x 0:0:1 --line --out a"));
    let same = loss(&bench.json("surface own --x 0:0:1 --line --scale imagenet --out b"));
    let other = loss(&bench.json("surface own --x 0:0:1 --line --scale none --out c"));
    assert!(own == same && own != other, "{own} {same} {other}");
    let message = bench.run("data pets --target kind").sentence();
    assert!(
        message.contains("--target") && message.contains("a CSV file or a Parquet file"),
        "{message}"
    );
}

#[test]
fn a_picture_is_learnt_as_a_function_of_the_place() {
    let bench = Bench::new("coordinates");
    bench.write("p.jpg", include_bytes!("../../../formats/tests/fixtures/data/smooth.jpg"));
    let message = bench.run("data p.jpg").sentence();
    assert!(message.contains("--as coordinates"), "{message}");
    let train = r#"train --data p.jpg --as coordinates --arch "siren hidden=16-16 omega=5" --optimizer adam"#;
    let of = |object: &Value| object["members"][0]["test_loss"].as_f64().unwrap();
    let first = bench.json(&format!("{train} --steps 1 --out short"));
    let object = bench.json(&format!("{train} --lr 0.005 --steps 300 --out m"));
    assert!(of(&object) < 0.05 * of(&first), "{first} {object}");
    // Places are taken as they are, and the picture is read in the same way again.
    let surface = bench.json("surface m --x 0:0:1 --line --out s");
    let trained = object["members"][0]["train_loss"].as_f64().unwrap();
    assert!((loss(&surface) / trained - 1.0).abs() < 1e-4, "{surface}");
}

#[test]
fn bytes_of_any_file_of_text_are_tokens() {
    let bench = Bench::new("bytes");
    bench.write("latin.txt", b"caf\xe9 au lait, ".repeat(40));
    let message = bench.run("data latin.txt").sentence();
    assert!(message.contains("--tokens bytes"), "{message}");
    let told = bench.json("data latin.txt --tokens bytes --context 9");
    assert_eq!(told["described"]["n_classes"], 256);
    assert_eq!(told["described"]["shape"], serde_json::json!([9]));
    bench.write(
        "tokenizer.json",
        include_bytes!("../../../formats/tests/fixtures/data/tokenizer.json"),
    );
    bench.write("cats.txt", include_bytes!("../../../formats/tests/fixtures/data/cats.txt"));
    let told = bench.json("data cats.txt --tokens tokenizer.json --context 4");
    assert_eq!(told["described"]["n_classes"], 282);
}
