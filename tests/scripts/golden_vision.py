#!/usr/bin/env python3
"""Makes tiny random models of images with transformers' own classes, a few small images, and what becomes of both.

    golden_vision.py FOLDER

FOLDER/images holds the images, and pixels.npz their pixels by PIL's `convert("RGB")` as NAME, and resized ones as
NAME.FILTER.WIDTHxHEIGHT. Each other folder is a model with golden.npz: `pixels` of the first image by the slow image
processor, `vectors` of all images in the order of images.json, or `scores`; and, where the folder has an encoder of
texts too, `texts` of texts.json. Versions that the goldens were made with: transformers 5.24, torch 2.15, Pillow 12.
Pillow 13 resizes some images by the vertical pass first, which changes bytes by a step.
"""

import json
import pathlib
import shutil
import sys

import numpy
import torch
import transformers as tf
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)
VISION = dict(**SIZES, image_size=12, patch_size=4)
CORPUS = ["a photo of a cat", "a photo of a dog", "two dogs and a cat, on grass", "the quick brown fox jumps over", "12 birds"]
TEXTS = ["a photo of a cat", "", "Two DOGS,  and a fox!", "naïve café 🙂", "<|endoftext|> within a text", "birds " * 40]
FILTERS = dict(nearest=0, lanczos=1, bilinear=2, bicubic=3, box=4, hamming=5)


def images(folder):
    """Small images of many kinds; returns their names and saves the pixels that PIL sees."""
    random = numpy.random.default_rng(5)
    folder.mkdir(parents=True)
    noise = random.integers(0, 256, (20, 28, 4), dtype=numpy.uint8)
    y, x = numpy.mgrid[0:20, 0:28]
    smooth = numpy.stack([y * 12 % 256, x * 9 % 256, (x + y) * 3 % 256, 255 - y * 6], -1).astype(numpy.uint8)
    rgb, rgba, gray = Image.fromarray(smooth[..., :3]), Image.fromarray(smooth), Image.fromarray(noise[:9, :11, 0])
    palette = rgb.quantize(12)
    turned = Image.Exif()
    turned[0x0112] = 6
    save = {
        "rgb.png": (rgb, {}), "noise.png": (Image.fromarray(noise[:14, :11, :3]), {}), "rgba.png": (rgba, {}),
        "gray.png": (gray, {}), "bits.png": (Image.fromarray(noise[:9, :11, 0] > 99), {}),
        "gray_alpha.png": (Image.merge("LA", [gray, Image.fromarray(noise[:9, :11, 1])]), {}),
        "gray16.png": (Image.fromarray(noise[:9, :11, 0].astype("u2") * 3), {}),
        "palette.png": (palette, {}), "transparent.png": (palette, dict(transparency=3)),
        "palette.gif": (palette, {}), "moving.gif": (palette, dict(save_all=True, append_images=[rgb.quantize(3)])),
        "rgb.bmp": (Image.fromarray(noise[:7, :9, :3]), {}), "palette.bmp": (palette, {}),
        "lossless.webp": (rgba, dict(lossless=True, exact=True)), "lossy.webp": (rgb, dict(quality=80)),
        "full.jpg": (rgb, dict(quality=90, subsampling=0)), "half.jpg": (rgb, dict(quality=85)),
        "gray.jpg": (gray, dict(quality=90)), "progressive.jpg": (rgb, dict(quality=85, progressive=True)),
        "turned.jpg": (rgb, dict(quality=90, subsampling=0, exif=turned)),
        "wide.png": (Image.fromarray(smooth[:3, :, :3]), {}),
    }
    pixels = {}
    for name, (image, options) in save.items():
        image.save(folder / name, **options)
        pixels[name] = numpy.array(Image.open(folder / name).convert("RGB"))
    for name, number in FILTERS.items():
        for width, height in [(12, 9), (28, 5), (13, 20), (33, 24), (3, 40)]:
            resized = Image.open(folder / "rgb.png").resize((width, height), number)
            pixels[f"{name}.{width}x{height}"] = numpy.array(resized)
    numpy.savez_compressed(folder / "pixels.npz", **pixels)
    (folder / "images.json").write_text(json.dumps(list(save)) + "\n")
    return [Image.fromarray(pixels[name]) for name in save]


def clip_tokenizer(folder):
    """CLIP's byte pairs, which end words with </w>, trained on a few lines."""
    trained = tf.CLIPTokenizer(vocab={"<|startoftext|>": 0, "<|endoftext|>": 1}, merges=[])
    inner = trained.backend_tokenizer
    inner.model = models.BPE(unk_token="<|endoftext|>", continuing_subword_prefix="", end_of_word_suffix="</w>")
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, end_of_word_suffix="</w>",
                                  special_tokens=[])
    inner.train_from_iterator(CORPUS, trainer)
    model = json.loads(inner.to_str())["model"]
    letters = sorted(alphabet) + [letter + "</w>" for letter in sorted(alphabet)]
    merges = [tuple(pair) for pair in model["merges"]]
    names = letters + ["".join(pair) for pair in merges] + ["<|startoftext|>", "<|endoftext|>"]
    vocab = {name: number for number, name in enumerate(dict.fromkeys(names))}
    tokenizer = tf.CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=16)
    tokenizer.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n")
    return tokenizer, vocab


def siglip_tokenizer(folder):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>")
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", None, [("</s>", 1)])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer = tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>",
                                           unk_token="<unk>", model_max_length=16)
    tokenizer.save_pretrained(folder)
    return tokenizer


def randomize(model):
    """Weights large enough that every part of a model shows, in half precision."""
    torch.manual_seed(11)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or "scale" in name and "layer_scale" not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
            else:
                parameter.copy_(torch.randn_like(parameter) * (parameter.shape[-1] ** -0.5 if parameter.dim() > 1 else 0.2))
            parameter.copy_(parameter.half())
    return model.eval()


def save(folder, model, processor, all_images, of_model, key="vectors", tokenizer=None, of_texts=None):
    model.half().save_pretrained(folder)
    model.float()
    processor.save_pretrained(folder)
    values = processor(images=all_images, return_tensors="pt")["pixel_values"]
    golden = {"pixels": values[0].numpy()}
    with torch.inference_mode():
        golden[key] = of_model(model, values).numpy()
        if tokenizer:
            golden["texts"] = numpy.concatenate([of_texts(model, tokenizer(text)).numpy() for text in TEXTS])
    numpy.savez_compressed(folder / "golden.npz", **golden)


def main():
    folder = pathlib.Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    all_images = images(folder / "images")
    (folder / "texts.json").write_text(json.dumps(TEXTS, ensure_ascii=False) + "\n")
    first = lambda model, values: model(values).last_hidden_state[:, 0]
    pooled = lambda model, values: model(values).pooler_output
    vit = tf.ViTImageProcessorPil(size=12)
    save(folder / "vit", randomize(tf.ViTModel(tf.ViTConfig(**VISION))), vit, all_images, first)
    classes = tf.ViTForImageClassification(tf.ViTConfig(**VISION, id2label={0: "cat", 1: "dog", 2: "bird"}))
    crop = tf.ViTImageProcessorPil(size={"height": 15, "width": 9}, do_center_crop=True, crop_size=12, resample=0,
                                   image_mean=[0.4, 0.5, 0.6])
    save(folder / "vit-classes", randomize(classes), crop, all_images,
         lambda model, values: model(values).logits.softmax(-1), "scores")
    dinov2 = dict(VISION, image_size=20)
    del dinov2["intermediate_size"]
    bit = tf.BitImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 12, "width": 18})
    for name, gated in [("dinov2", False), ("dinov2-gated", True)]:
        model = tf.Dinov2Model(tf.Dinov2Config(**dinov2, mlp_ratio=2, use_swiglu_ffn=gated))
        save(folder / name, randomize(model), bit, all_images, pooled)
    # A smaller and a wider grid than the model was made for, and the same.
    crops = {"": (12, 28), "-same": (20, 20)}
    for name, (height, width) in crops.items():
        model = tf.Dinov2WithRegistersModel(tf.Dinov2WithRegistersConfig(**dinov2, mlp_ratio=2, num_register_tokens=3))
        wide = tf.BitImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": height, "width": width})
        save(folder / f"dinov2-registers{name}", randomize(model), wide, all_images, pooled)

    clip = tf.CLIPImageProcessorPil(size={"shortest_edge": 14}, crop_size=12)
    (folder / "clip").mkdir()
    tokenizer, vocab = clip_tokenizer(folder / "clip")
    ends = dict(vocab_size=len(vocab), max_position_embeddings=16, bos_token_id=vocab["<|startoftext|>"],
                eos_token_id=vocab["<|endoftext|>"])
    model = tf.CLIPModel(tf.CLIPConfig(text_config={**SIZES, **ends}, vision_config=VISION, projection_dim=20))

    def clip_text(model, encoded):
        return model.get_text_features(torch.tensor([encoded["input_ids"][:15] + [ends["eos_token_id"]]
                                                     if len(encoded["input_ids"]) > 16 else encoded["input_ids"]])).pooler_output

    save(folder / "clip", randomize(model), clip, all_images,
         lambda model, values: model.get_image_features(values).pooler_output, "vectors", tokenizer, clip_text)
    vision = tf.CLIPVisionModelWithProjection(tf.CLIPVisionConfig(**VISION, hidden_act="gelu", projection_dim=12))
    save(folder / "clip-vision", randomize(vision), clip, all_images, lambda model, values: model(values).image_embeds)

    siglip = tf.SiglipImageProcessorPil(size={"height": 12, "width": 12})
    (folder / "siglip").mkdir()
    tokenizer = siglip_tokenizer(folder / "siglip")
    model = tf.SiglipModel(tf.SiglipConfig(
        text_config=dict(**SIZES, vocab_size=len(tokenizer), max_position_embeddings=16, projection_size=16), vision_config=VISION))

    def siglip_text(model, encoded):
        ids = encoded["input_ids"]
        ids = ids if len(ids) <= 16 else ids[:15] + [1]
        return model.get_text_features(torch.tensor([ids + [tokenizer.pad_token_id] * (16 - len(ids))])).pooler_output

    save(folder / "siglip", randomize(model), siglip, all_images,
         lambda model, values: model.get_image_features(values).pooler_output, "vectors", tokenizer, siglip_text)
    for place in folder.glob("*/processor_config.json"):
        place.unlink()


main()
