//! Damaged and hostile ONNX files: an error that says what is wrong, never a panic, an abort, or a guess.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gristmill::{Device, ErrorKind, ImportOptions, Model, SessionOptions, Tensor, Tensors, testing::import::onnx};
use tempfile::TempDir;

use crate::support::{onnx_writer::*, random::Random};

/// Opens, loads and runs what can be; gives the kind of the first error.
fn try_all(bytes: &[u8]) -> Result<(), ErrorKind> {
    let kind = |error: gristmill::Error| {
        assert!(!matches!(error.kind(), ErrorKind::Internal | ErrorKind::Panic), "{error}");
        error.kind()
    };
    let session = Model::from_bytes(bytes).map_err(kind)?.session(&SessionOptions::on(Device::Cpu)).map_err(kind)?;
    let mut inputs = Tensors::new();
    for (name, fact) in session.inputs() {
        let shape: Vec<usize> =
            fact.shape.dims().iter().map(|dim| dim.as_fixed().map_or(2, |size| size as usize)).collect();
        if shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim)).is_none_or(|size| size > 1 << 20) {
            return Ok(());
        }
        inputs.insert(name, Tensor::zeros(fact.dtype, shape).unwrap());
    }
    session.run(&inputs).map(drop).map_err(kind)
}

/// A model with something of everything.
fn mixed() -> Vec<u8> {
    let split = Message::new().text(1, "value").int(20, 4).message(5, &integers("", &[1], &[-1]));
    small()
        .node(node("Constant", "c", &[], &["c"]).message(5, &split))
        .node(node("Reshape", "r", &["y", "c"], &["r"]))
        .node(node("Concat", "d", &["w", "w"], &["d"]).message(5, &int("axis", 0)))
        .node(node("MatMul", "m", &["d", "w"], &["m"]))
        .initializer(tensor("typed", INT32, &[3]).packed(5, &[1, -2, 300]))
        .output(value("r", FLOAT, &[""]))
        .output(value("m", FLOAT, &["4", "2"]))
        .bytes()
}

#[test]
fn every_prefix_is_an_error_or_a_model() {
    let bytes = mixed();
    assert_eq!(try_all(&bytes), Ok(()));
    let whole = (0..bytes.len()).filter(|&len| try_all(&bytes[..len]).is_ok()).count();
    assert_eq!(whole, 0, "a cut file was taken for a whole one");
}

#[test]
fn flipped_bytes_never_panic() {
    let bytes = mixed();
    let mut random = Random(0x5eed_0ff1_1b5e);
    let mut opened = 0;
    for _ in 0..20_000 {
        let mut damaged = bytes.clone();
        for _ in 0..=random.below(3) {
            let index = random.below(damaged.len());
            damaged[index] ^= 1 << random.below(8);
        }
        opened += usize::from(try_all(&damaged).is_ok());
    }
    println!("{opened} of 20000 damaged models still ran");
    assert!(opened < 20_000);
}

#[test]
fn cut_and_spliced_bytes_never_panic() {
    let bytes = mixed();
    let mut random = Random(0xc0ffee);
    for _ in 0..5_000 {
        let mut damaged = bytes.clone();
        let (from, to) = (random.below(bytes.len()), random.below(bytes.len()));
        match random.below(3) {
            0 => drop(damaged.drain(from.min(to)..from.max(to))),
            1 => damaged.splice(from..from, bytes[from.min(to)..from.max(to)].to_vec()).for_each(drop),
            _ => damaged[from..].iter_mut().take(8).for_each(|byte| *byte = 0xff),
        }
        let _ = try_all(&damaged);
    }
}

#[test]
fn the_bundled_model_survives_damage() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/models/magika/model.onnx");
    let bytes = fs::read(path).unwrap();
    let mut random = Random(7);
    for _ in 0..150 {
        // The weights take most of the file; what describes it is where damage tells.
        let index = if random.below(2) == 0 { random.below(bytes.len()) } else { random.below(20_000) };
        let mut damaged = bytes.clone();
        damaged[index] ^= 1 << random.below(8);
        if let Err(error) = Model::from_bytes(&damaged) {
            assert!(!matches!(error.kind(), ErrorKind::Internal | ErrorKind::Panic), "{error}");
        }
        assert!(Model::from_bytes(&bytes[..index]).is_err(), "cut at {index}");
    }
}

#[test]
fn nesting_is_never_followed() {
    // A graph in an attribute of a node of a graph ..., a sequence of sequences of ...
    let mut graph = Message::new();
    let mut kind = Message::new();
    for _ in 0..3_000 {
        let body = Message::new().text(1, "body").int(20, 5).message(6, &graph);
        graph = Message::new().message(1, &node("Transpose", "n", &["x"], &["q"]).message(5, &body));
        kind = Message::new().message(4, &Message::new().message(1, &kind));
    }
    let body = Message::new().text(1, "body").int(20, 5).message(6, &graph);
    let deep = small().node(node("Transpose", "deep", &["x"], &["q"]).message(5, &body));
    assert_eq!(try_all(&deep.bytes()), Err(ErrorKind::Unsupported));
    let deep = small().input(Message::new().text(1, "q").message(2, &kind));
    assert_eq!(try_all(&deep.bytes()), Err(ErrorKind::Unsupported));
}

#[test]
fn constants_cannot_grow_without_end() {
    // Doubled 60 times; and many constants that are each allowed.
    let mut doubled = small();
    for round in 0..60 {
        let (from, to) = (if round == 0 { "w".to_owned() } else { format!("d{round}") }, format!("d{}", round + 1));
        doubled = doubled.node(node("Concat", &to, &[&from, &from], &[&to]).message(5, &int("axis", 0)));
    }
    assert_eq!(try_all(&doubled.output(Message::new().text(1, "d60")).bytes()), Err(ErrorKind::Limit));
    let mut many = small().initializer(integers("large", &[1], &[1 << 23]));
    for index in 0..1_000 {
        let name = format!("f{index}");
        many = many.node(node("ConstantOfShape", &name, &["large"], &[&name])).output(Message::new().text(1, &name));
    }
    assert_eq!(try_all(&many.bytes()), Err(ErrorKind::Limit));
}

#[test]
fn caps_can_be_lowered() {
    let bytes = mixed();
    for options in [ImportOptions::default().max_items(20), ImportOptions::default().max_structure_bytes(100)] {
        let error = Model::from_bytes_with(&bytes, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
        assert!(error.to_string().contains("ImportOptions::max_"), "{error}");
    }
}

/// A folder with `model/weights.bin` (16 bytes), `secret.bin` beside the folder, and a model over `entries`.
struct Place {
    root: TempDir,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("model")).unwrap();
        let raw: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        for name in ["model/weights.bin", "secret.bin"] {
            fs::write(root.path().join(name), &raw).unwrap();
        }
        Self { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, draft: &Draft) -> PathBuf {
        let path = self.path("model/model.onnx");
        fs::write(&path, draft.bytes()).unwrap();
        path
    }

    fn open(&self, entries: &[(&str, &str)]) -> gristmill::Result<Model> {
        self.open_with(entries, &ImportOptions::default())
    }

    fn open_with(&self, entries: &[(&str, &str)], options: &ImportOptions) -> gristmill::Result<Model> {
        let draft = transposing().initializer(external("e", FLOAT, &[2], entries)).output(value("e", FLOAT, &["2"]));
        Model::open_with(self.write(&draft), options)
    }

    fn refuse(&self, entries: &[(&str, &str)]) -> String {
        let error = self.open(entries).expect_err(&format!("{entries:?}"));
        assert!(!matches!(error.kind(), ErrorKind::Internal | ErrorKind::Panic), "{error}");
        error.to_string()
    }
}

fn constant(model: Model) -> Vec<f32> {
    let graph = model.graph();
    let id = *graph.outputs().last().unwrap();
    graph.constant_of(id).unwrap().as_slice::<f32>().unwrap().to_vec()
}

#[test]
fn external_data_are_read_from_the_models_folder() {
    let place = Place::new();
    let full = [("location", "weights.bin"), ("offset", "8"), ("length", "8")];
    assert_eq!(constant(place.open(&full).unwrap()), [3.0, 4.0]);
    assert_eq!(constant(place.open(&full[..2]).unwrap()), [3.0, 4.0]);
    assert_eq!(constant(place.open(&full[..1]).unwrap()), [1.0, 2.0]);
    // The data belong to the fingerprint.
    let name = place.open(&full).unwrap().fingerprint();
    let mut raw = fs::read(place.path("model/weights.bin")).unwrap();
    raw[0] ^= 1;
    fs::write(place.path("model/weights.bin"), raw).unwrap();
    assert_ne!(name, place.open(&full).unwrap().fingerprint());
}

#[test]
fn external_data_outside_the_folder_are_refused() {
    let place = Place::new();
    fs::create_dir(place.path("model/inner")).unwrap();
    fs::copy(place.path("secret.bin"), place.path("model/inner/weights.bin")).unwrap();
    let absolute = place.path("secret.bin").display().to_string();
    let outside = [
        "../secret.bin",
        "inner/../../secret.bin",
        "inner/../weights.bin",
        "inner//weights.bin",
        &absolute,
        "..",
        ".",
        "",
        "a\\b",
    ];
    for location in outside {
        let text = place.refuse(&[("location", location)]);
        assert!(text.contains("in the model's folder or below it"), "{location}: {text}");
    }
    place.refuse(&[("location", "inner")]);
    place.refuse(&[("location", "inner/absent.bin")]);
    place.refuse(&[("location", "absent.bin")]);
}

#[test]
fn external_data_may_lie_below_the_folder_and_have_a_checksum() {
    let place = Place::new();
    fs::create_dir_all(place.path("model/inner/most")).unwrap();
    fs::copy(place.path("model/weights.bin"), place.path("model/inner/most/weights.bin")).unwrap();
    for location in ["./weights.bin", "inner/most/weights.bin", "./inner/./most/weights.bin"] {
        let entries = [("location", location), ("checksum", "0"), ("offset", "8")];
        assert_eq!(constant(place.open(&entries).unwrap()), [3.0, 4.0], "{location}");
    }
}

#[cfg(unix)]
#[test]
fn a_linked_folder_is_followed_only_into_a_trusted_root() {
    let place = Place::new();
    fs::create_dir(place.path("other")).unwrap();
    fs::copy(place.path("secret.bin"), place.path("other/weights.bin")).unwrap();
    std::os::unix::fs::symlink("../other", place.path("model/inner")).unwrap();
    let entries = [("location", "inner/weights.bin")];
    let text = place.refuse(&entries);
    assert!(text.contains("ImportOptions::trust_root"), "{text}");
    let trusting = ImportOptions::default().trust_root(place.root.path());
    assert_eq!(constant(place.open_with(&entries, &trusting).unwrap()), [1.0, 2.0]);
}

#[test]
fn external_data_are_checked_in_attributes_too() {
    let place = Place::new();
    let tensor = external("", FLOAT, &[2], &[("location", "../secret.bin")]);
    let turn = node("Constant", "c", &[], &["e"]).message(5, &tensor_attribute("value", &tensor));
    let error = Model::open(place.write(&transposing().node(turn))).unwrap_err();
    assert!(error.to_string().contains("in the model's folder or below it"), "{error}");
}

#[cfg(unix)]
#[test]
fn links_are_followed_only_into_a_trusted_root() {
    let place = Place::new();
    std::os::unix::fs::symlink("../secret.bin", place.path("model/link.bin")).unwrap();
    fs::hard_link(place.path("secret.bin"), place.path("model/hard.bin")).unwrap();
    std::os::unix::fs::symlink("absent", place.path("model/dangling.bin")).unwrap();
    for name in ["link.bin", "hard.bin"] {
        let entries = [("location", name)];
        let text = place.refuse(&entries);
        assert!(text.contains("ImportOptions::trust_root"), "{text}");
        let trusting = ImportOptions::default().trust_root(place.root.path());
        assert_eq!(constant(place.open_with(&entries, &trusting).unwrap()), [1.0, 2.0], "{name}");
        let elsewhere = tempfile::tempdir().unwrap();
        let trusting = ImportOptions::default().trust_root(elsewhere.path());
        assert!(place.open_with(&entries, &trusting).is_err(), "{name}");
    }
    place.refuse(&[("location", "dangling.bin")]);
}

#[cfg(unix)]
#[test]
fn the_folder_itself_may_be_reached_through_a_link() {
    let place = Place::new();
    place.open(&[("location", "weights.bin")]).unwrap();
    std::os::unix::fs::symlink(place.path("model"), place.path("alias")).unwrap();
    let model = Model::open(place.path("alias/model.onnx")).unwrap();
    assert_eq!(constant(model), [1.0, 2.0]);
}

#[cfg(unix)]
#[test]
fn pipes_are_not_waited_for() {
    let place = Place::new();
    let pipe = place.path("model/pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("no mkfifo here");
        return;
    }
    place.refuse(&[("location", "pipe")]);
    assert!(Model::open(&pipe).is_err());
    assert!(Model::open(Path::new("/dev/null")).is_err());
}

#[test]
fn places_of_external_data_that_do_not_add_up_are_refused() {
    let place = Place::new();
    let file = ("location", "weights.bin");
    let bad: [&[(&str, &str)]; 13] = [
        &[],
        &[("offset", "0")],
        &[file, file],
        &[file, ("offset", "0"), ("offset", "0")],
        &[file, ("offset", "-1")],
        &[file, ("offset", "+1")],
        &[file, ("offset", "9")],
        &[file, ("offset", "18446744073709551615")],
        &[file, ("offset", "18446744073709551616")],
        &[file, ("length", "7")],
        &[file, ("length", "9")],
        &[file, ("length", "")],
        &[file, ("__class__", "x")],
    ];
    for entries in bad {
        place.refuse(entries);
    }
}

#[test]
fn tensors_cannot_take_more_than_the_file_has() {
    let place = Place::new();
    let at = |name: &str, dims: &[i64], offset: &str| {
        external(name, FLOAT, dims, &[("location", "weights.bin"), ("offset", offset)])
    };
    // Shared bytes are shared, whatever the shape.
    let mut shared = transposing();
    for index in 0..1_000 {
        shared = shared.initializer(at(&format!("e{index}"), if index % 2 == 0 { &[4] } else { &[2, 2] }, "0"));
    }
    Model::open(place.write(&shared)).unwrap();
    let overlapping = transposing().initializer(at("a", &[3], "0")).initializer(at("b", &[3], "4"));
    let error = Model::open(place.write(&overlapping)).unwrap_err();
    assert!(error.to_string().contains("overlap"), "{error}");
    // A claim past the file allocates nothing.
    for dims in [&[1 << 38][..], &[1 << 62], &[1 << 31, 1 << 31]] {
        Model::open(place.write(&transposing().initializer(at("a", dims, "0")))).unwrap_err();
    }
}

#[test]
fn test_tensors_are_read_under_the_same_rules() {
    let tensor = external("t", FLOAT, &[1], &[("location", "/etc/passwd")]);
    assert_eq!(onnx::read_tensor(&tensor.0).unwrap_err().kind(), ErrorKind::Unsupported);
}
