"""Writes gpt2.safetensors and llama.safetensors: small random models of Hugging Face, and what they compute.

    python tests/data/gpt_models.py

Needs torch and transformers. Tests read the files and never run this. Each holds the weights as `save_pretrained` names
them, the `tokens` `[2, 7]`, and the `logits` `[2, 7, vocabulary]` that the model gives for them.
"""

import pathlib
import tempfile

import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

HERE = pathlib.Path(__file__).parent


def write(name, model, vocabulary):
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    tokens = torch.randint(vocabulary, (2, 7))
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        logits = model.eval()(tokens).logits
        model.save_pretrained(folder)
        tensors = load_file(pathlib.Path(folder) / "model.safetensors")
    save_file({**tensors, "tokens": tokens.to(torch.uint32), "logits": logits.contiguous()}, HERE / name)


torch.manual_seed(5)
write("gpt2.safetensors", GPT2LMHeadModel(GPT2Config(vocab_size=11, n_positions=8, n_embd=12, n_layer=2, n_head=3)), 11)
config = LlamaConfig(
    vocab_size=13,
    hidden_size=16,
    intermediate_size=20,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    tie_word_embeddings=False,
    attn_implementation="eager",
)
write("llama.safetensors", LlamaForCausalLM(config), 13)
