//! Images against PIL and transformers: pixels, inputs, vectors and classes, which `golden_vision.py` computed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gristmill::{
    Device, ErrorKind, Tensor, Tensors,
    testing::images::{inputs, pixels, resized},
    text::Embedder,
    vision::{Image, ImageClassifier, ImageEmbedder, ImageOptions},
};

use crate::support::data::{arrays, elements, golden};

/// The largest difference of a number to transformers' in f32.
const MOST: f32 = 2e-5;

/// The largest difference of a byte where JPEG's colours are stored coarsely, which decoders interpolate as they like.
const COARSE: u8 = 8;

fn names() -> Vec<String> {
    serde_json::from_slice(&fs::read(golden("vision/images/images.json")).unwrap()).unwrap()
}

fn file(name: &str) -> PathBuf {
    golden(&format!("vision/images/{name}"))
}

/// The images as PIL sees them, in the order of the vectors.
fn images() -> Vec<Image> {
    let pixels = arrays("vision/images/pixels.npz");
    let image = |name: &String| {
        let image = pixels.get(name).unwrap();
        let &[height, width, 3] = image.shape() else { panic!("{name}") };
        Image::rgb(width, height, image.as_slice::<u8>().unwrap().to_vec()).unwrap()
    };
    names().iter().map(image).collect()
}

fn rows(arrays: &Tensors, name: &str) -> Vec<Vec<f32>> {
    let tensor = arrays.get(name).unwrap();
    tensor.as_slice::<f32>().unwrap().chunks(tensor.shape()[1]).map(<[f32]>::to_vec).collect()
}

fn difference(own: &[f32], other: &[f32]) -> f32 {
    assert_eq!(own.len(), other.len());
    own.iter().zip(other).map(|(own, other)| (own - other).abs()).fold(0.0, f32::max)
}

#[test]
fn files_decode_as_pil_converts_them() {
    let golden = arrays("vision/images/pixels.npz");
    for name in names() {
        let wanted = golden.get(&name).unwrap();
        let (sides, own) = pixels(&fs::read(file(&name)).unwrap(), 1 << 20).unwrap();
        assert_eq!(wanted.shape()[..2], sides, "{name}");
        let steps = own.iter().zip(wanted.as_slice::<u8>().unwrap()).map(|(own, other)| own.abs_diff(*other));
        let most = steps.max().unwrap();
        let allowed = match name.as_str() {
            "half.jpg" | "progressive.jpg" => COARSE,
            name if name.ends_with(".jpg") => 2,
            _ => 0,
        };
        println!("{name}: {most}");
        assert!(most <= allowed, "{name} differs by {most}");
    }
}

/// PIL keeps such a color beside the pixels.
#[test]
fn a_transparent_gray_changes_no_pixel() {
    let plain = fs::read(file("gray16.png")).unwrap();
    let chunk = b"tRNS\x12\x34";
    let crc = chunk.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    });
    let behind_header = 8 + 25;
    let own = [&plain[..behind_header], &[0, 0, 0, 2], chunk, &(!crc).to_be_bytes(), &plain[behind_header..]].concat();
    assert_eq!(pixels(&own, 1 << 20).unwrap(), pixels(&plain, 1 << 20).unwrap());
}

#[test]
fn pixels_are_resized_as_pil_does_it() {
    let golden = arrays("vision/images/pixels.npz");
    let bytes = fs::read(file("rgb.png")).unwrap();
    for (number, filter) in ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"].into_iter().enumerate() {
        for (width, height) in [(12, 9), (28, 5), (13, 20), (33, 24), (3, 40)] {
            let wanted: Vec<u8> = elements(&golden, &format!("{filter}.{width}x{height}"));
            let own = resized(&bytes, (width, height), number, 0..width, 0..height).unwrap();
            assert!(own == wanted, "{filter} to {width} x {height}");
            let part = resized(&bytes, (width, height), number, 1..3, 2..5).unwrap();
            let row = |row: usize| &wanted[3 * (row * width + 1)..3 * (row * width + 3)];
            assert_eq!(part, [row(2), row(3), row(4)].concat(), "a part of {filter} to {width} x {height}");
        }
    }
}

#[test]
fn every_encoder_gives_the_vectors_of_transformers() {
    let images = images();
    let mut failures = Vec::new();
    for name in
        ["vit", "dinov2", "dinov2-gated", "dinov2-registers", "dinov2-registers-same", "clip", "clip-vision", "siglip"]
    {
        let folder = golden(&format!("vision/{name}"));
        let embedder = ImageEmbedder::open(&folder, Device::Cpu).unwrap_or_else(|error| panic!("{name}: {error}"));
        let golden = arrays(&format!("vision/{name}/golden.npz"));
        check_inputs(name, &inputs(&embedder.pipeline(), &images[0]).unwrap(), golden.get("pixels").unwrap());
        let (together, _) = embedder.bulk().run(&images);
        let mut worst = 0f32;
        for (index, (vector, wanted)) in together.into_iter().zip(rows(&golden, "vectors")).enumerate() {
            let vector = vector.unwrap_or_else(|error| panic!("{name}: {error}"));
            worst = worst.max(difference(&vector, &wanted));
            assert_eq!(embedder.embed(&images[index..=index]).unwrap(), [vector], "{name}, image {index} alone");
        }
        println!("{name}: at most {worst:.1e}");
        if worst.is_nan() || worst > MOST {
            failures.push(format!("{name} differs by {worst:e}"));
        }
    }
    assert!(failures.is_empty(), "{failures:?}");
}

/// Compares patches with the image that transformers' processor makes.
fn check_inputs(name: &str, own: &Tensors, wanted: &Tensor) {
    let &[3, height, width] = wanted.shape() else { panic!("{name}: {:?}", wanted.shape()) };
    let wanted = wanted.as_slice::<f32>().unwrap();
    let patches = own.get("patches").unwrap();
    let &[count, patch] = patches.shape() else { panic!("{name}") };
    let side = ((patch / 3) as f64).sqrt() as usize;
    let columns = width / side;
    let front = count - height / side * columns;
    let own = patches.as_slice::<f32>().unwrap();
    assert!(own[..front * patch].iter().all(|&number| number == 0.0));
    for (index, number) in own[front * patch..].iter().enumerate() {
        let (place, within) = (index / patch, index % patch);
        let (colour, y, x) = (within / side / side, within / side % side, within % side);
        let at = (colour * height + place / columns * side + y) * width + place % columns * side + x;
        assert_eq!(*number, wanted[at], "{name}: colour {colour} of place {place}");
    }
}

#[test]
fn classes_are_those_of_transformers() {
    let classifier = ImageClassifier::open(golden("vision/vit-classes"), Device::Cpu).unwrap();
    let labels: Vec<&str> = classifier.labels().iter().map(AsRef::as_ref).collect();
    assert_eq!(labels, ["cat", "dog", "bird"]);
    let wanted = rows(&arrays("vision/vit-classes/golden.npz"), "scores");
    for (class, wanted) in classifier.classify(&images()).unwrap().into_iter().zip(wanted) {
        assert!(difference(&class.scores, &wanted) <= MOST, "{:?} for {wanted:?}", class.scores);
        let best = class.scores.iter().position(|&score| score == class.score).unwrap();
        assert_eq!(&*class.label, labels[best]);
    }
    let error = ImageClassifier::open(golden("vision/vit"), Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("ForImageClassification"), "{error}");
}

#[test]
fn texts_beside_images_have_the_vectors_of_transformers() {
    let texts: Vec<String> = serde_json::from_slice(&fs::read(golden("vision/texts.json")).unwrap()).unwrap();
    for name in ["clip", "siglip"] {
        let embedder = Embedder::open(golden(&format!("vision/{name}")), Device::Cpu).unwrap();
        let wanted = rows(&arrays(&format!("vision/{name}/golden.npz")), "texts");
        for (index, (vector, wanted)) in embedder.embed(&texts).unwrap().into_iter().zip(wanted).enumerate() {
            let most = difference(&vector, &wanted);
            println!("{name}: {:?} {most:e}", texts[index]);
            assert!(most <= MOST, "{name}: {:?} differs by {most:e}", texts[index]);
            assert_eq!(embedder.embed(&texts[index..=index]).unwrap(), [vector], "{name}: {:?} alone", texts[index]);
        }
        assert_eq!(
            embedder.dimension(),
            ImageEmbedder::open(golden(&format!("vision/{name}")), Device::Cpu).unwrap().dimension()
        );
    }
}

#[test]
fn vectors_have_length_one_where_asked() {
    let options = ImageOptions::on(Device::Cpu).normalize(true);
    let embedder = ImageEmbedder::open_with(golden("vision/clip"), &options).unwrap();
    let paths = names().into_iter().map(|name| file(&name));
    for vector in embedder.map(paths).map(Result::unwrap) {
        let length: f32 = vector.iter().map(|number| number * number).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
}

/// A PNG whose header tells these sides, with `data` as its compressed pixels.
fn png(width: u32, height: u32, data: &[u8]) -> Vec<u8> {
    fn crc(bytes: impl Iterator<Item = u8>) -> u32 {
        !bytes.fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
        })
    }
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8; 4], data: &[u8]| {
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend(name.iter().chain(data));
        bytes.extend(crc(name.iter().chain(data).copied()).to_be_bytes());
    };
    let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
    chunk(b"IHDR", &[&sides[..], &[8, 2, 0, 0, 0]].concat());
    chunk(b"IDAT", data);
    chunk(b"IEND", &[]);
    bytes
}

#[test]
fn damaged_and_hostile_images_fail_alone() {
    let whole = fs::read(file("noise.png")).unwrap();
    let mut items = vec![(Image::bytes(whole.clone()), None), (Image::path(file("absent.png")), Some(ErrorKind::Io))];
    items.push((Image::path(golden("vision")), Some(ErrorKind::InvalidInput)));
    items.push((Image::bytes(Vec::new()), Some(ErrorKind::Unsupported)));
    items.push((Image::bytes(b"no image at all".to_vec()), Some(ErrorKind::Unsupported)));
    for (width, height) in [(60_000, 60_000), (u32::MAX >> 1, 1), (9_000_000, 1), (1 << 14, 1 << 14)] {
        items.push((Image::bytes(png(width, height, &[0x78, 0x9c, 3, 0, 0, 0, 0, 1])), Some(ErrorKind::Limit)));
    }
    items.push((Image::bytes(png(9000, 9000, &[0x78, 0x9c, 3, 0, 0, 0, 0, 1])), Some(ErrorKind::InvalidInput)));
    items.push((Image::bytes(png(0, 5, &[])), Some(ErrorKind::InvalidInput)));
    items.push((Image::bytes(whole), None));
    let embedder = ImageEmbedder::open(golden("vision/vit"), Device::Cpu).unwrap();
    let given: Vec<Image> = items.iter().map(|(image, _)| image.clone()).collect();
    let (results, report) = embedder.bulk().run(&given);
    assert_eq!(report.errors, items.iter().filter(|(_, kind)| kind.is_some()).count());
    for (index, (result, (image, kind))) in results.iter().zip(&items).enumerate() {
        let own = result.as_ref().err().map(|error| error.source.kind());
        assert_eq!(own, *kind, "{index}: {image:?} gave {result:?}");
    }
    assert_eq!(results.first().unwrap().as_ref().unwrap(), results.last().unwrap().as_ref().unwrap());
}

#[test]
fn no_cut_file_panics() {
    for name in names() {
        let bytes = fs::read(file(&name)).unwrap();
        for end in (0..bytes.len()).step_by(1 + bytes.len() / 60) {
            drop(pixels(&bytes[..end], 1 << 20));
            let mut damaged = bytes.clone();
            damaged[end] ^= 0x55;
            if let Ok((sides, own)) = pixels(&damaged, 1 << 20) {
                assert_eq!(own.len(), 3 * sides[0] * sides[1], "{name} damaged at {end}");
            }
        }
    }
}

#[test]
fn an_image_past_the_limit_names_the_option() {
    let options = ImageOptions::on(Device::Cpu).max_pixels(100);
    let embedder = ImageEmbedder::open_with(golden("vision/vit"), &options).unwrap();
    let error = embedder.map([file("rgb.png")]).next().unwrap().unwrap_err().to_string();
    assert!(error.contains("28 x 20") && error.contains("max_pixels") && error.contains("rgb.png"), "{error}");
    for wrong in [Image::rgb(2, 2, vec![0; 11]), Image::rgb(0, 2, Vec::new()), Image::rgb(usize::MAX, 2, vec![0; 6])] {
        assert_eq!(wrong.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_folder_of_images_is_told_from_one_of_texts() {
    let error = Embedder::open(golden("vision/vit"), Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("vit") && error.contains("images"), "{error}");
    let error = ImageEmbedder::open(golden("encoders/bert"), Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("model_type `bert`"), "{error}");
}

#[test]
fn older_files_of_a_tokenizer_give_the_same_vectors() {
    let texts: Vec<String> = serde_json::from_slice(&fs::read(golden("vision/texts.json")).unwrap()).unwrap();
    let vectors = |folder: &Path| Embedder::open(folder, Device::Cpu).unwrap().embed(&texts).unwrap();
    let older = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden("vision/clip")).unwrap().map(Result::unwrap) {
        if entry.file_name() != "tokenizer.json" {
            fs::copy(entry.path(), older.path().join(entry.file_name())).unwrap();
        }
    }
    assert_eq!(vectors(older.path()), vectors(&golden("vision/clip")));
}

#[test]
fn a_folder_of_sentence_transformers_opens_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("0_CLIPModel");
    fs::create_dir(&inner).unwrap();
    for entry in fs::read_dir(golden("vision/clip")).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), inner.join(entry.file_name())).unwrap();
    }
    let module = |kind: &str, path: &str| serde_json::json!({"idx": 0, "name": "0", "path": path, "type": kind});
    let clip = module("sentence_transformers.models.CLIPModel", "0_CLIPModel");
    let modules = |modules: &[serde_json::Value]| {
        fs::write(folder.path().join("modules.json"), serde_json::to_vec(modules).unwrap()).unwrap();
    };
    modules(std::slice::from_ref(&clip));
    let images = &images()[..2];
    let own = |path: &Path| ImageEmbedder::open(path, Device::Cpu).unwrap().embed(images).unwrap();
    assert_eq!(own(folder.path()), own(&golden("vision/clip")));
    let texts = ["two dogs"];
    let own = |path: &Path| Embedder::open(path, Device::Cpu).unwrap().embed(&texts).unwrap();
    assert_eq!(own(folder.path()), own(&golden("vision/clip")));
    // The module of newer versions, which names what the model gives.
    let way = |kind: &str, output: &str| serde_json::json!({"method": format!("get_{kind}_features"), "method_output_name": output});
    let settings = |text: &str, more: &str| {
        let ways =
            serde_json::json!({"text": way("text", text), "image": way("image", "pooler_output"), more: way("", "")});
        let settings = serde_json::json!({"modality_config": ways, "module_output_name": "sentence_embedding"});
        fs::write(inner.join("sentence_bert_config.json"), serde_json::to_vec(&settings).unwrap()).unwrap();
    };
    let transformer = module("sentence_transformers.base.modules.transformer.Transformer", "0_CLIPModel");
    settings("pooler_output", "audio");
    for first in [clip, transformer] {
        modules(std::slice::from_ref(&first));
        assert_eq!(own(folder.path()), own(&golden("vision/clip")));
        modules(&[first, module("sentence_transformers.models.Normalize", "")]);
        let vector = ImageEmbedder::open(folder.path(), Device::Cpu).unwrap().embed(images).unwrap().remove(0);
        assert!((vector.iter().map(|number| number * number).sum::<f32>() - 1.0).abs() < 1e-5);
    }
    for (text, more, named) in
        [("last_hidden_state", "audio", "text by"), ("pooler_output", "message", "messages of a chat")]
    {
        settings(text, more);
        let error = Embedder::open(folder.path(), Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("modality_config") && error.contains(named), "{error}");
    }
}

/// Rewrites a settings file of a copy of a golden folder.
fn changed(name: &str, file: &str, change: impl Fn(&mut serde_json::Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden(&format!("vision/{name}"))).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let place = folder.path().join(file);
    let mut settings = serde_json::from_slice(&fs::read(&place).unwrap()).unwrap();
    change(&mut settings);
    fs::write(place, serde_json::to_vec(&settings).unwrap()).unwrap();
    folder
}

#[test]
fn settings_that_do_not_fit_are_refused_by_name() {
    let kept = |settings: &mut serde_json::Value| settings["do_center_crop"] = false.into();
    for (name, file, change, named) in [
        ("vit", "preprocessor_config.json", (|s| s["size"] = 16.into()) as fn(&mut serde_json::Value), "[16, 16]"),
        ("clip", "preprocessor_config.json", kept, "sizes of their own"),
        ("siglip", "preprocessor_config.json", |s| s["do_thumbnail"] = true.into(), "do_thumbnail"),
        ("vit", "config.json", |s| s["qkv_bias"] = false.into(), "qkv_bias"),
        ("vit", "config.json", |s| s["patch_size"] = 0.into(), "patch_size"),
        ("siglip", "config.json", |s| s["vision_config"]["vision_use_head"] = false.into(), "vision_use_head"),
        ("clip", "config.json", |s| s["vision_config"]["hidden_size"] = 32.into(), "class_embedding"),
    ] {
        let folder = changed(name, file, change);
        let error = ImageEmbedder::open(folder.path(), Device::Cpu).expect_err(named).to_string();
        assert!(error.contains(named), "{name}: {error}");
    }
    let left = changed("siglip", "tokenizer_config.json", |settings| settings["padding_side"] = "left".into());
    let error = Embedder::open(left.path(), Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("padding_side"), "{error}");
}

#[test]
fn a_nested_file_of_settings_comes_first() {
    let own = changed("vit", "preprocessor_config.json", |settings| settings["image_mean"] = 0.25.into());
    let inner = fs::read(golden("vision/vit/preprocessor_config.json")).unwrap();
    let inner: serde_json::Value = serde_json::from_slice(&inner).unwrap();
    let outer = serde_json::json!({"image_processor": inner, "processor_class": "X"});
    let vectors = |path: &Path| ImageEmbedder::open(path, Device::Cpu).unwrap().embed(&images()[..1]).unwrap();
    assert_ne!(vectors(own.path()), vectors(&golden("vision/vit")));
    fs::write(own.path().join("processor_config.json"), serde_json::to_vec(&outer).unwrap()).unwrap();
    assert_eq!(vectors(own.path()), vectors(&golden("vision/vit")));
}
