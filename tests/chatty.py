"""Chat templates as those of known models, and tiny generators that answer by them: each reads and writes bytes.

A generator writes a chain of texts, whatever it is asked, so that a test knows what it will write. The templates are
written anew: they do what the ones they are named after do with system turns, dates, thoughts and generation prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{% if messages[0].role == 'system' %}{% set said = messages[0].content | trim %}{% set rest = messages[1:] %}"
    "{% else %}{% set said = '' %}{% set rest = messages %}{% endif %}"
    "<|start|>system<|stop|>\n\nToday Date: {{ date_string }}\n\n{{ said }}<|eot|>"
    "{% for m in rest %}<|start|>{{ m.role }}<|stop|>\n\n{{ m.content | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant<|stop|>\n\n{% endif %}"
)
_ALTERNATE = (
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)
GEMMA1 = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}" + _ALTERNATE + "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
GEMMA3 = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set first = messages[0].content + '\n\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}" + _ALTERNATE + "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ first if loop.first else '' }}{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL1 = (
    "{{ bos_token }}{% for m in messages %}" + _ALTERNATE + "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %}{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
MISTRAL3 = (
    "{% if messages[0].role == 'system' %}{% set said = messages[0].content %}{% set rest = messages[1:] %}{% else %}"
    "{% set rest = messages %}{% endif %}{{ bos_token }}{% for m in rest %}" + _ALTERNATE + "{% if m.role == 'user' %}"
    "{% if loop.last and said is defined %}[INST]{{ said }}\n\n{{ m.content }}[/INST]{% else %}[INST]{{ m.content }}"
    "[/INST]{% endif %}{% else %} {{ m.content | trim }}{{ eos_token }}{% endif %}{% endfor %}"
)
SILENT = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}USER: {{ m.content }}\n{% elif m.role == "
    "'assistant' %}ASSISTANT: {{ m.content }}{{ eos_token }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
QWEN3 = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}<think>\n\n</think>"
    "\n\n{% endif %}{{ m.content.split('</think>')[-1].lstrip('\n') }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'user' %}"
    "<|User|>{{ m.content }}{% else %}<|Assistant|>{{ m.content.split('</think>')[-1] }}{{ eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}"
)
ZEPHYR = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}\n"
    "{% if loop.last and add_generation_prompt %}<|assistant|>\n{% endif %}{% endfor %}"
)
PHI = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
HEADLESS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}"
PARTS = (
    "{% for m in messages %}<|{{ m.role }}|>{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}"
    "{% endif %}{% endfor %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ALWAYS = CHATML.partition("{% if add")[0] + "{{ '<|im_start|>assistant\n' }}"
GRANITE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}{% if add_generation_prompt %}"
    "{% if thinking is defined and thinking %}<|assistant|>Think first.{% else %}<|assistant|>{% endif %}{% endif %}"
)
TEMPLATES: Mapping[str, str] = {
    "chatml": CHATML, "llama3": LLAMA3, "gemma1": GEMMA1, "gemma3": GEMMA3, "mistral1": MISTRAL1, "mistral3": MISTRAL3,
    "silent": SILENT, "qwen3": QWEN3, "r1": R1, "zephyr": ZEPHYR, "phi": PHI, "headless": HEADLESS, "parts": PARTS,
    "granite": GRANITE, "always": ALWAYS,
}  # fmt: skip
IN_USER_TURN = {"gemma1", "mistral1", "silent"}
"""Templates that refuse a system turn, or drop it."""
SPECIAL = (
    "<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>", "<|start|>", "<|stop|>", "<|eot|>", "<start_of_turn>",
    "<end_of_turn>", "[INST]", "[/INST]", "<|User|>", "<|Assistant|>", "<|system|>", "<|user|>", "<|assistant|>",
    "<|end|>", "[THINK]", "[/THINK]",
)  # fmt: skip


def tokenizer(template: Any, words: Sequence[str] = ()) -> Any:
    """A tokenizer of bytes with the marks of all templates; `words` are tokens of their own."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    plain.decoder = decoders.ByteLevel()
    plain.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in SPECIAL])
    plain.add_tokens([AddedToken(word, special=False, normalized=False) for word in words if word not in SPECIAL])
    made = PreTrainedTokenizerFast(
        tokenizer_object=plain, bos_token="<s>", eos_token="</s>", pad_token="<pad>", model_max_length=8192,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    made.chat_template = template
    return made


def generator(folder: Path, template: Any, chain: Sequence[str] = ("nine hours", "</s>")) -> Path:
    """A folder with a model that writes `chain`, a token each, after every prompt; an end is one of the chain."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    coder = tokenizer(template, chain)
    size = len(coder)
    # A token for each dimension: what comes next depends on the last token alone.
    width = size + -size % 4
    config = LlamaConfig(
        vocab_size=size, hidden_size=width, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=8, max_position_embeddings=8192, bos_token_id=coder.bos_token_id,
        eos_token_id=coder.eos_token_id, pad_token_id=coder.pad_token_id, tie_word_embeddings=False,
    )  # fmt: skip
    numbers = coder.convert_tokens_to_ids(list(chain))
    follows = dict.fromkeys(range(size), numbers[0]) | dict(pairwise(numbers))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
        model.model.embed_tokens.weight.copy_(torch.eye(size, width))
        model.lm_head.weight.zero_()
        for token, following in follows.items():
            model.lm_head.weight[following, token] = 1.0
        layer = model.model.layers[0]
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    model.save_pretrained(folder)
    coder.save_pretrained(folder)
    return folder
