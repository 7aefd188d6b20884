#!/usr/bin/env python3
"""Makes a tiny random model of each encoder family with transformers' own classes, and its vectors for awkward texts.

    golden_encoders.py FOLDER [FAMILY...]

Each folder holds config.json, model.safetensors, the tokenizer's files and golden.json: for each text its token ids and
the mean of the last hidden states; that of jina-v3-tasks, which goes to FOLDER/../adapters, holds them for each task.
Versions that the goldens were made with: transformers 5.24, torch 2.15, tokenizers
as transformers asks for.
"""

import json
import math
import pathlib
import sys

import safetensors.torch
import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = [
    "The quick brown fox jumps over the lazy dog.", "a state of being carried away by overwhelming emotion",
    "An embedding is a vector of numbers; texts that mean the same lie close together.", "naïve café, coöperate",
    "one two three four five six seven eight nine ten", "don't, can't, won't: it's the dogs' bowls", "UPPER lower MiXeD",
    "東京は日本の首都です。", "def f(x): return x ** 2  # square", "12 345.678 9", "tab\tand\nnew line",
]
TEXTS = [
    "the quick brown fox", "", "a", " ", "UPPER lower MiXeD", "naïve café", "東京は日本の首都です。", "🙂 emoji 👩‍👩‍👧‍👦",
    "tab\tand\nnew line", "control \x01 characters \x7f", "don't, can't: it's", "12 345.678", "def f(x): return x ** 2",
    "   spaces   in   between   ", "[MASK] [CLS] <s> </s>", "e\u0301 composed and é", "...!!!???",
    "one two three four five six seven eight nine ten " * 2, "the lazy dog jumps over " * 9, "word " * 200,
]
POSITIONS = 64
SIZES = dict(vocab_size=320, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)


def word_piece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.decoder = decoders.WordPiece()
    names = dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
    return tokenizer, names


def byte_level(template="<s> $A </s>"):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=special,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(template, None, [("<s>", 0), ("</s>", 2)])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer, dict(pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>", mask_token="<mask>")


def unigram(template="$A </s>"):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(template, None, [("<s>", 0), ("</s>", 2)])
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer, dict(pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>", mask_token="<mask>")


ROBERTA = dict(max_position_embeddings=POSITIONS + 2, pad_token_id=1, type_vocab_size=1)
LLAMA = dict(max_position_embeddings=POSITIONS, num_key_value_heads=2, pad_token_id=1, bos_token_id=0, eos_token_id=2)
BART = dict(vocab_size=320, d_model=32, encoder_attention_heads=4, decoder_attention_heads=2, encoder_ffn_dim=48,
            decoder_ffn_dim=40, encoder_layers=2, decoder_layers=2, max_position_embeddings=POSITIONS)
# Six heads, so that the slopes are not those of a power of two.
JINA = {**SIZES, "hidden_size": 36, "num_attention_heads": 6}
FAMILIES = {
    "albert": (lambda: tf.AlbertConfig(**SIZES, embedding_size=16, max_position_embeddings=POSITIONS), word_piece),
    "bart": (lambda: tf.BartConfig(**BART, decoder_start_token_id=3), byte_level),
    "bert": (lambda: tf.BertConfig(**SIZES, max_position_embeddings=POSITIONS), word_piece),
    "data2vec-text": (lambda: tf.Data2VecTextConfig(**SIZES, **ROBERTA), byte_level),
    "deberta": (lambda: tf.DebertaConfig(
        **SIZES, max_position_embeddings=POSITIONS, type_vocab_size=2, relative_attention=True, max_relative_positions=24,
        pos_att_type="c2p|p2c", pad_token_id=1), lambda: byte_level("<s> $A </s>")),
    "deberta-plain": (lambda: tf.DebertaConfig(**SIZES, max_position_embeddings=POSITIONS, pad_token_id=1),
                      lambda: byte_level("<s> $A </s>")),
    "deberta-v2": (lambda: tf.DebertaV2Config(
        **SIZES, max_position_embeddings=POSITIONS, embedding_size=16, type_vocab_size=2, relative_attention=True,
        pos_att_type="c2p|p2c", pad_token_id=1), lambda: unigram("<s> $A </s>")),
    "deberta-v3": (lambda: tf.DebertaV2Config(
        **SIZES, max_position_embeddings=POSITIONS, relative_attention=True, pos_att_type=["p2c", "c2p"],
        position_buckets=12, norm_rel_ebd="layer_norm", share_att_key=True, position_biased_input=False, pad_token_id=1),
        lambda: unigram("<s> $A </s>")),
    "deberta-v2-groups": (lambda: tf.DebertaV2Config(
        **SIZES, max_position_embeddings=POSITIONS, relative_attention=True, pos_att_type="p2c", position_buckets=12,
        share_att_key=True, position_biased_input=False, pad_token_id=1, conv_kernel_size=5, conv_groups=4,
        conv_act="gelu"), lambda: unigram("<s> $A </s>")),
    "deberta-v2-conv": (lambda: tf.DebertaV2Config(
        **SIZES, max_position_embeddings=POSITIONS, relative_attention=True, pos_att_type="p2c|c2p", position_buckets=12,
        norm_rel_ebd="layer_norm", share_att_key=True, position_biased_input=False, pad_token_id=1, conv_kernel_size=3,
        conv_act="tanh"), lambda: unigram("<s> $A </s>")),
    "distilbert": (lambda: tf.DistilBertConfig(vocab_size=320, dim=32, n_layers=2, n_heads=4, hidden_dim=48,
                                               max_position_embeddings=POSITIONS), word_piece),
    "electra": (lambda: tf.ElectraConfig(**SIZES, embedding_size=16, max_position_embeddings=POSITIONS), word_piece),
    "ernie": (lambda: tf.ErnieConfig(**SIZES, max_position_embeddings=POSITIONS, use_task_id=True), word_piece),
    "esm": (lambda: tf.EsmConfig(**SIZES, max_position_embeddings=POSITIONS, position_embedding_type="rotary", pad_token_id=1,
                                 mask_token_id=4, token_dropout=True, emb_layer_norm_before=False), byte_level),
    "esm-table": (lambda: tf.EsmConfig(**SIZES, max_position_embeddings=POSITIONS + 2, pad_token_id=1,
                                       emb_layer_norm_before=True), byte_level),
    "eurobert": (lambda: tf.EuroBertConfig(**SIZES, **LLAMA, mask_token_id=4), byte_level),
    "gemma3": (lambda: tf.Gemma3TextConfig(**SIZES, **LLAMA, head_dim=12, sliding_window=9, query_pre_attn_scalar=16,
                                           layer_types=["sliding_attention", "full_attention"]),
               lambda: unigram("<s> $A </s>")),
    "gemma3-both-sides": (lambda: tf.Gemma3TextConfig(
        **SIZES, **LLAMA, head_dim=12, sliding_window=16, use_bidirectional_attention=True,
        layer_types=["sliding_attention", "full_attention"]), lambda: unigram("<s> $A </s>")),
    "gemma3-linear": (lambda: tf.Gemma3TextConfig(
        **SIZES, **LLAMA, head_dim=12, sliding_window=9, layer_types=["sliding_attention", "full_attention"],
        rope_parameters={"sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
                         "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 100_000.0}}),
        lambda: unigram("<s> $A </s>")),
    "eurobert-dynamic": (lambda: tf.EuroBertConfig(**SIZES, **LLAMA, mask_token_id=4, rope_parameters={
        "rope_type": "dynamic", "rope_theta": 250_000.0, "factor": 2.0}), byte_level),
    "gte": (lambda: tf.GteConfig(**SIZES, max_position_embeddings=POSITIONS), lambda: unigram("<s> $A </s>")),
    "gte-new": (lambda: tf.GteConfig(**SIZES, max_position_embeddings=POSITIONS, type_vocab_size=0, pad_token_id=0), word_piece),
    "jina-bert": (lambda: tf.BertConfig(**JINA, max_position_embeddings=POSITIONS), word_piece),
    "jina-bert-code": (lambda: tf.BertConfig(**JINA, max_position_embeddings=POSITIONS, pad_token_id=1), byte_level),
    "jina-v3-tasks": (lambda: tf.JinaEmbeddingsV3Config(**SIZES, max_position_embeddings=POSITIONS + 2),
                      lambda: unigram("<s> $A </s>")),
    "jina-v3": (lambda: tf.JinaEmbeddingsV3Config(**SIZES, max_position_embeddings=POSITIONS + 2),
                lambda: unigram("<s> $A </s>")),
    "llama": (lambda: tf.LlamaConfig(**SIZES, **LLAMA), lambda: byte_level("<s> $A </s>")),
    # The first token stands for a language behind the text.
    "mbart": (lambda: tf.MBartConfig(**{**BART, "decoder_layers": 1}, scale_embedding=True, activation_function="relu"),
              lambda: unigram("$A </s> <s>")),
    "mistral": (lambda: tf.MistralConfig(**SIZES, **LLAMA, sliding_window=9), lambda: unigram("<s> $A </s>")),
    "modernbert": (lambda: tf.ModernBertConfig(**{**SIZES, "num_hidden_layers": 4}, max_position_embeddings=POSITIONS,
                                               local_attention=16, pad_token_id=1,
                                               bos_token_id=0, cls_token_id=0, eos_token_id=2, sep_token_id=2), byte_level),
    "mpnet": (lambda: tf.MPNetConfig(**SIZES, max_position_embeddings=POSITIONS + 2), word_piece),
    "mt5": (lambda: tf.MT5Config(vocab_size=320, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4), unigram),
    "nomic-bert": (lambda: tf.NomicBertConfig(**SIZES, max_position_embeddings=POSITIONS), word_piece),
    "nomic-bert-experts": (lambda: tf.NomicBertConfig(
        **{**SIZES, "num_hidden_layers": 4}, max_position_embeddings=POSITIONS, type_vocab_size=1, pad_token_id=1),
        lambda: unigram("<s> $A </s>")),
    "qwen2": (lambda: tf.Qwen2Config(**SIZES, **LLAMA), lambda: byte_level("$A </s>")),
    "qwen2-both-sides": (lambda: tf.Qwen2Config(**SIZES, **LLAMA, is_causal=False), lambda: byte_level("$A </s>")),
    "qwen3": (lambda: tf.Qwen3Config(**SIZES, **LLAMA, head_dim=10), lambda: byte_level("$A </s>")),
    "qwen3-llama3": (lambda: tf.Qwen3Config(**SIZES, **LLAMA, head_dim=16, rope_parameters={
        "rope_type": "llama3", "rope_theta": 500.0, "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32}), lambda: byte_level("$A </s>")),
    "qwen3-yarn": (lambda: tf.Qwen3Config(**SIZES, **LLAMA, head_dim=16, rope_parameters={
        "rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 16,
        "beta_fast": 4.0}), lambda: byte_level("$A </s>")),
    "roberta": (lambda: tf.RobertaConfig(**SIZES, **ROBERTA), byte_level),
    "t5": (lambda: tf.T5Config(vocab_size=320, d_model=32, d_kv=10, d_ff=48, num_layers=2, num_heads=4,
                               n_positions=POSITIONS, relative_attention_num_buckets=8,
                               relative_attention_max_distance=20), unigram),
    "t5-gated": (lambda: tf.T5Config(vocab_size=320, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4,
                                     n_positions=POSITIONS, feed_forward_proj="gated-gelu"), unigram),
    "umt5": (lambda: tf.UMT5Config(vocab_size=320, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4), unigram),
    "xlm-roberta-xl": (lambda: tf.XLMRobertaXLConfig(**SIZES, **ROBERTA), lambda: unigram("<s> $A </s>")),
}


class JinaBert(torch.nn.Module):
    """BERT with slopes over distances and gated products, after the paper of Jina Embeddings 2; `code` normalizes
    queries and keys, and the first half once more."""

    def __init__(self, config, code):
        super().__init__()
        self.config, self.code, nn = config, code, torch.nn
        hidden, inner = config.hidden_size, config.intermediate_size
        norm = lambda: nn.LayerNorm(hidden, config.layer_norm_eps)
        self.embeddings = nn.ModuleDict({
            "word_embeddings": nn.Embedding(config.vocab_size, hidden),
            "token_type_embeddings": nn.Embedding(config.type_vocab_size, hidden), "LayerNorm": norm()})
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList()})
        for _ in range(config.num_hidden_layers):
            own = {"query": nn.Linear(hidden, hidden), "key": nn.Linear(hidden, hidden), "value": nn.Linear(hidden, hidden)}
            if code:
                own |= {"layer_norm_q": norm(), "layer_norm_k": norm()}
            output = nn.ModuleDict({"dense": nn.Linear(hidden, hidden), "LayerNorm": norm()})
            layer = {"attention": nn.ModuleDict({"self": nn.ModuleDict(own), "output": output})}
            gated, down = nn.Linear(hidden, 2 * inner, bias=False), nn.Linear(inner, hidden)
            if code:
                layer |= {"mlp": nn.ModuleDict({"up_gated_layer": gated, "down_layer": down}),
                          "layer_norm_1": norm(), "layer_norm_2": norm()}
            else:
                layer["mlp"] = nn.ModuleDict({"gated_layers": gated, "wo": down, "layernorm": norm()})
            self.encoder["layer"].append(nn.ModuleDict(layer))

    def slopes(self):
        heads = self.config.num_attention_heads
        powers = lambda count: [2 ** (-8 / count * (index + 1)) for index in range(count)]
        whole = 2 ** int(math.log2(heads))
        return torch.tensor((powers(whole) + powers(2 * whole)[0::2])[:heads])

    def forward(self, input_ids, attention_mask):
        x = self.embeddings["word_embeddings"](input_ids) + self.embeddings["token_type_embeddings"].weight[0]
        x = self.embeddings["LayerNorm"](x)
        places = torch.arange(input_ids.shape[1])
        bias = -self.slopes()[:, None, None] * (places[:, None] - places[None]).abs()
        for layer in self.encoder["layer"]:
            own, output = layer["attention"]["self"], layer["attention"]["output"]
            q, k, v = (own[part](x) for part in ["query", "key", "value"])
            if self.code:
                q, k = own["layer_norm_q"](q), own["layer_norm_k"](k)
            q, k, v = (part.unflatten(-1, (bias.shape[0], -1)).transpose(1, 2) for part in [q, k, v])
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias
            mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(-2)
            attended = output["LayerNorm"](output["dense"](mixed) + x)
            mlp, gelu = layer["mlp"], torch.nn.functional.gelu
            if self.code:
                x = layer["layer_norm_1"](x + attended)
                plain, gated = mlp["up_gated_layer"](x).chunk(2, -1)
                x = layer["layer_norm_2"](x + mlp["down_layer"](gelu(gated) * plain))
            else:
                gated, plain = mlp["gated_layers"](attended).chunk(2, -1)
                x = mlp["layernorm"](attended + mlp["wo"](gelu(gated) * plain))
        return tf.modeling_outputs.BaseModelOutput(last_hidden_state=x)

    def save_pretrained(self, place, **_):
        place.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(self.state_dict(), place / "model.safetensors")
        config = {**self.config.to_dict(), "position_embedding_type": "alibi", "feed_forward_type": "geglu"}
        (place / "config.json").write_text(json.dumps(config, indent=2) + "\n")


class NomicExperts(torch.nn.Module):
    """Nomic Embed 2 in the tensors of its authors: rotary positions, and a mixture of experts in every second layer."""

    settings = dict(activation_function="gelu", num_experts=5, moe_top_k=2, moe_every_n_layers=2, expert_choice_router=False,
                    moe_normalize_expert_weights=False, moe_impl="megablocks", ffn_div=1, num_shared_experts=0,
                    mlp_fc1_bias=True, mlp_fc2_bias=True, qkv_proj_bias=True, rotary_emb_base=10000, rotary_emb_fraction=1.0,
                    prenorm=False, layer_norm_epsilon=1e-5)

    def __init__(self, config):
        super().__init__()
        self.config, nn = config, torch.nn
        hidden, inner, experts = config.hidden_size, config.intermediate_size, self.settings["num_experts"]
        norm = lambda: nn.LayerNorm(hidden, 1e-5)
        self.embeddings = nn.ModuleDict({"word_embeddings": nn.Embedding(config.vocab_size, hidden),
                                         "token_type_embeddings": nn.Embedding(config.type_vocab_size, hidden)})
        self.emb_ln = norm()
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList()})
        for index in range(config.num_hidden_layers):
            mlp = {"fc1": nn.Linear(hidden, inner), "fc2": nn.Linear(inner, hidden)}
            if index % 2 == 1:
                all_experts = nn.Module()
                all_experts.bias = nn.Parameter(torch.zeros(hidden))
                all_experts.mlp = nn.ParameterDict({name: torch.zeros(experts * inner, hidden) for name in ["w1", "w2"]})
                router = nn.ModuleDict({"layer": nn.Linear(hidden, experts, bias=False)})
                mlp = {"router": router, "experts": all_experts}
            attention = {"Wqkv": nn.Linear(hidden, 3 * hidden), "out_proj": nn.Linear(hidden, hidden)}
            self.encoder["layers"].append(nn.ModuleDict({"attn": nn.ModuleDict(attention), "mlp": nn.ModuleDict(mlp),
                                                         "norm1": norm(), "norm2": norm()}))

    def mixed(self, mlp, x):
        count, chosen = self.settings["num_experts"], self.settings["moe_top_k"]
        weights, experts = mlp["router"]["layer"](x).softmax(-1).topk(chosen, -1)
        up, down = (mlp["experts"].mlp[name].view(count, -1, x.shape[-1]) for name in ["w1", "w2"])
        rows = []
        for row, own, which in zip(x[0], weights[0], experts[0]):
            rows.append(sum(weight * (torch.nn.functional.gelu(up[expert] @ row) @ down[expert])
                            for weight, expert in zip(own, which)))
        return torch.stack(rows)[None] + mlp["experts"].bias

    def forward(self, input_ids, attention_mask):
        x = self.embeddings["word_embeddings"](input_ids) + self.embeddings["token_type_embeddings"].weight[0]
        x, heads = self.emb_ln(x), self.config.num_attention_heads
        size = x.shape[-1] // heads
        angles = torch.arange(x.shape[1])[:, None] / 10000 ** (torch.arange(0, size, 2) / size)
        cosines, sines = (torch.cat([function(angles)] * 2, -1) for function in [torch.cos, torch.sin])
        for layer in self.encoder["layers"]:
            q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in layer["attn"]["Wqkv"](x).chunk(3, -1))
            q, k = (part * cosines + torch.cat([-part[..., size // 2:], part[..., :size // 2]], -1) * sines for part in [q, k])
            mixed = ((q @ k.transpose(-1, -2) / math.sqrt(size)).softmax(-1) @ v).transpose(1, 2).flatten(-2)
            x = layer["norm1"](layer["attn"]["out_proj"](mixed) + x)
            mlp = layer["mlp"]
            second = self.mixed(mlp, x) if "router" in mlp else mlp["fc2"](torch.nn.functional.gelu(mlp["fc1"](x)))
            x = layer["norm2"](second + x)
        return tf.modeling_outputs.BaseModelOutput(last_hidden_state=x)

    def save_pretrained(self, place, **_):
        place.mkdir(parents=True, exist_ok=True)
        safetensors.torch.save_file(self.state_dict(), place / "model.safetensors")
        config = self.config.to_dict()
        names = dict(hidden_size="n_embd", num_attention_heads="n_head", intermediate_size="n_inner",
                     num_hidden_layers="n_layer", max_position_embeddings="n_positions")
        kept = {older: config[name] for name, older in names.items()}
        kept |= {name: config[name] for name in ["model_type", "vocab_size", "type_vocab_size", "pad_token_id"]}
        (place / "config.json").write_text(json.dumps({**kept, **self.settings}, indent=2) + "\n")


def as_new(model, place):
    """Turns a saved GTE into the form of its authors, with a wider reach of positions."""
    path, factor, size = place / "config.json", 2.0, 8
    config = json.loads(path.read_text())
    base = config.pop("rope_parameters")["rope_theta"]
    path.write_text(json.dumps({
        **config, "model_type": "new", "position_embedding_type": "rope", "layer_norm_type": "layer_norm", "pack_qkv": True,
        "logn_attention_scale": False, "rope_theta": base, "rope_scaling": {"type": "ntk", "factor": factor}}, indent=2) + "\n")
    powers = torch.arange(0, size, 2).float() / size
    model.rotary_emb.inv_freq = 1.0 / ((base * factor) ** powers) / factor ** (2 / size)


# Each with a prompt, of which some are the same.
TASKS = {"retrieval.query": "the query: ", "separation": "", "text-matching": ""}


def with_adapters(model, place):
    """Turns a saved model into the form of its authors, with adapters for tasks; returns the models for each task.

    After the class XLMRobertaLoRA of jinaai/xlm-roberta-flash-implementation: all tables and products have adapters."""
    rank, alpha = 3, 2
    file, path = place / "model.safetensors", place / "config.json"
    weights, adapted = safetensors.torch.load_file(file), {}
    per_task = {task: {} for task in [None, *TASKS]}
    for name, weight in weights.items():
        if weight.dim() != 2:
            adapted["roberta." + name] = weight
            merged = [weight] * len(per_task)
        else:
            (rows, columns), of_table = weight.shape, "embeddings" in name
            shapes = [(rows, rank), (rank, columns)] if of_table else [(rank, columns), (rows, rank)]
            a, b = (0.3 * torch.randn(len(TASKS), *shape) for shape in shapes)
            layer = f"roberta.{name.removesuffix('.weight')}.parametrizations.weight."
            adapted |= {layer + "original": weight, layer + "0.lora_A": a, layer + "0.lora_B": b}
            merged = [weight] + [weight + (a[task] @ b[task] if of_table else b[task] @ a[task]) * (alpha / rank)
                                 for task in range(len(TASKS))]
        for own, weight in zip(per_task.values(), merged):
            own[name] = weight.contiguous()
    models = {}
    for task, own in per_task.items():
        safetensors.torch.save_file(own, file, {"format": "pt"})
        models[task] = tf.AutoModel.from_pretrained(place).eval().float()
    safetensors.torch.save_file(adapted, file)
    config = json.loads(path.read_text())
    base = config.pop("rope_parameters")["rope_theta"]
    path.write_text(json.dumps({
        **config, "model_type": "xlm-roberta", "position_embedding_type": "rotary", "rotary_emb_base": base,
        "architectures": ["XLMRobertaModel"], "lora_adaptations": [*TASKS], "lora_rank": rank, "lora_alpha": alpha,
        "lora_dropout_p": 0.0, "lora_main_params_trainable": False, "load_trained_adapters": True,
        "task_instructions": TASKS, "use_flash_attn": False}, indent=2) + "\n")
    modules = [("", "custom_st.Transformer"), ("1_Pooling", "sentence_transformers.models.Pooling")]
    modules = [{"idx": index, "name": str(index), "path": path, "type": kind} for index, (path, kind) in enumerate(modules)]
    (place / "modules.json").write_text(json.dumps(modules, indent=1) + "\n")
    (place / "1_Pooling").mkdir(exist_ok=True)
    settings = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    (place / "1_Pooling" / "config.json").write_text(json.dumps(settings) + "\n")
    settings = {"prompts": {task: text for task, text in TASKS.items() if task != "separation"}, "default_prompt_name": None}
    (place / "config_sentence_transformers.json").write_text(json.dumps(settings, indent=1) + "\n")
    return models


def vectors(model, fast, texts, prompt=""):
    golden = []
    for text in texts:
        tokens = fast(prompt + text, truncation=True, max_length=POSITIONS, return_tensors="pt")
        ids = tokens["input_ids"]
        if ids.shape[1] == 0:
            golden.append({"text": text, "ids": []})
            continue
        with torch.no_grad():
            states = model(input_ids=ids, attention_mask=tokens["attention_mask"]).last_hidden_state[0]
        vector = states.double().mean(0)
        golden.append({"text": text, "ids": ids[0].tolist(), "vector": [float(f"{x:.9g}") for x in vector.tolist()]})
    return golden


def make(folder, name):
    config, tokenizer = FAMILIES[name]
    torch.manual_seed(7)
    config, (tokenizer, names) = config(), tokenizer()
    of_t5 = {"t5": tf.T5EncoderModel, "mt5": tf.MT5EncoderModel, "umt5": tf.UMT5EncoderModel}
    model = of_t5.get(config.model_type, tf.AutoModel.from_config)(config)
    if name.startswith("jina-bert"):
        model = JinaBert(config, name == "jina-bert-code")
    if name == "nomic-bert-experts":
        model = NomicExperts(config)
    model = model.eval().float()
    with torch.no_grad():
        for own, weight in model.named_parameters():
            # Larger than the usual start, so that every part counts; norms and biases too.
            spread = 0.3 if weight.dim() > 1 else 0.2
            start = 1.0 if weight.dim() == 1 and "bias" not in own and config.model_type != "gemma3_text" else 0.0
            weight.copy_(start + spread * torch.randn_like(weight))
    place = pathlib.Path(folder) / name
    if name == "jina-v3-tasks":
        place = pathlib.Path(folder).parent / "adapters" / "jina-v3"
    model.save_pretrained(place, safe_serialization=True)
    if name == "gte-new":
        as_new(model, place)
    models = {None: model}
    if name == "jina-v3-tasks":
        models = with_adapters(model, place)
    fast = tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=POSITIONS, **names)
    fast.save_pretrained(place)
    if len(models) == 1:
        golden = vectors(model, fast, TEXTS)
    else:
        golden = {task or "": vectors(model, fast, TEXTS[:9] + TEXTS[-2:], TASKS.get(task, "")) for task, model in models.items()}
    (place / "golden.json").write_text(json.dumps(golden, ensure_ascii=True) + "\n")
    print(name, sum(weight.numel() for weight in model.parameters()), "parameters")


if __name__ == "__main__":
    for family in sys.argv[2:] or FAMILIES:
        make(sys.argv[1], family)
