# SPDX-License-Identifier: Apache-2.0
"""The order of a block's operands is the wire's contract; by name nobody can get it wrong."""

import pytest

import rlxd

BERT = "q_w q_b k_w k_b v_w v_b o_w o_b ln1_g ln1_b ffn1_w ffn1_b ffn2_w ffn2_b ln2_g ln2_b".split()
LLAMA = "ln1_g q_w k_w v_w o_w ln2_g gate_w up_w down_w cos sin".split()


def build(method, names, **more):
    """The last node, its operands as names, and its attributes."""
    m = rlxd.HirModule("m")
    values = {name: m.param(name, [1]) for name in reversed(names)}
    x = m.input("x", [1, 1, 1])
    getattr(m, method)(x, **values, **more)
    nodes = m.build().graphs[0].nodes
    attrs = {a.name: getattr(a, a.WhichOneof("value")) for a in nodes[-1].attributes}
    return nodes[-1], [nodes[v.node].name for v in nodes[-1].operands], attrs


def test_encoder_block():
    node, operands, attrs = build("bert_encoder_block", BERT, num_heads=2, head_dim=4, eps=1e-12)
    assert node.op == "bert_encoder_block" and operands == ["x", *BERT]
    assert attrs == {
        "num_heads": 2, "head_dim": 4, "mask": "none", "softcap": 0.0, "eps": 1e-12,
        "activation": "gelu",
    }  # fmt: skip


def test_the_encoders_mask_is_its_second_operand():
    names = [*BERT, "mask_values"]
    _, operands, attrs = build(
        "bert_encoder_block", names, num_heads=2, head_dim=4, eps=1, mask="keep"
    )
    assert operands == ["x", "mask_values", *BERT]
    assert attrs["mask"] == "keep" and attrs["eps"] == 1.0


def test_decoder_block():
    _, operands, attrs = build("llama_decoder_block", LLAMA, num_heads=4, head_dim=8, eps=1e-5)
    assert operands == ["x", *LLAMA]
    assert attrs["mask"] == "causal" and "num_kv_heads" not in attrs
    assert (attrs["norm_bias"], attrs["has_positions"]) == (False, False)


def test_the_decoders_optional_operands_stand_where_the_op_wants_them():
    extra = ["ln1_b", "ln2_b", "mask_values", "positions"]
    _, operands, attrs = build(
        "llama_decoder_block", LLAMA + extra, num_heads=4, num_kv_heads=2, head_dim=8, eps=1e-5,
        mask="bias",
    )  # fmt: skip
    weights = "ln1_g ln1_b q_w k_w v_w o_w ln2_g ln2_b gate_w up_w down_w cos sin".split()
    assert operands == ["x", *weights, "mask_values", "positions"]
    assert (attrs["norm_bias"], attrs["has_positions"], attrs["num_kv_heads"]) == (True, True, 2)


def test_a_decoder_with_qwens_operands_and_a_past():
    extra = ["q_b", "k_b", "v_b", "q_norm_g", "k_norm_g", "positions", "past_k", "past_v"]
    node, operands, attrs = build(
        "llama_decoder_block", LLAMA + extra, num_heads=4, head_dim=8, eps=1e-5
    )
    assert operands == [
        *"x ln1_g q_w k_w v_w q_b k_b v_b q_norm_g k_norm_g o_w ln2_g gate_w up_w down_w".split(),
        *"cos sin positions past_k past_v".split(),
    ]
    assert (attrs["qkv_bias"], attrs["qk_norm"], attrs["cache"]) == (True, True, "append")
    _, _, attrs = build(
        "llama_decoder_block", LLAMA, num_heads=4, head_dim=8, eps=1e-5, keep_cache=True
    )
    assert attrs["cache"] == "start"


@pytest.mark.parametrize("alone", ["ln1_b", "q_b", "k_norm_g", "past_v"])
def test_one_of_a_group_alone_is_refused(alone):
    with pytest.raises(ValueError, match="come together"):
        build("llama_decoder_block", [*LLAMA, alone], num_heads=4, head_dim=8, eps=1e-5)


HEAD = [
    *"h_pre_norm input_ids cos sin last_token_idx embed_w hnorm enorm eh_w attn_norm".split(),
    *"q_gate_w k_w v_w q_norm k_norm o_w post_norm gate_w up_w down_w".split(),
    *"head_norm lm_head_w".split(),
]


HEAD_NORMS = "hnorm enorm attn_norm q_norm k_norm post_norm head_norm".split()


@pytest.mark.parametrize("biased", [HEAD_NORMS, []])
def test_mtp_head(biased):
    m = rlxd.HirModule("m")
    values = {name: m.param(name, [1]) for name in reversed(HEAD)}
    for name in biased:
        values[name] = (values[name], m.param(name + "_b", [1]))
    logits, hidden = m.qwen35_mtp_head(
        values.pop("h_pre_norm"), values.pop("input_ids"), values.pop("last_token_idx"),
        **values, num_heads=4, head_dim=8, eps=1e-6,
    )  # fmt: skip
    nodes = m.build().graphs[0].nodes
    operands = [nodes[v.node].name for v in nodes[-1].operands]
    want = [n for name in HEAD for n in ([name, name + "_b"] if name in biased else [name])]
    assert operands == want and len(operands) == (29 if biased else 22)
    assert (logits.result, hidden.result) == (0, 1)


def test_depthwise_conv_has_the_next_calls_pad():
    node, operands, _ = build("depthwise_conv1d_causal", ["w", "left_pad"])
    assert node.op == "depthwise_conv1d_causal" and operands == ["x", "w", "left_pad"]


def test_blocks_with_two_results():
    m = rlxd.HirModule("m")
    x, g, b = (m.param(n, [4]) for n in "xgb")
    for norm, total in (m.residual_layer_norm(x, x, g, b), m.residual_rms_norm(x, x, g)):
        assert (norm.node, norm.result, total.result) == (total.node, 0, 1)
    first, second = m.shared_linear_pair(x, g, b)
    m.output("y", second)
    assert m.build().graphs[0].outputs[0].value.result == 1
    assert first.node == second.node


def test_linear_takes_a_bias_or_none():
    for names, count in ((["w"], 2), (["w", "bias"], 3)):
        node, operands, attrs = build("linear", names, activation="silu")
        assert len(operands) == count and operands[1:] == names and attrs == {"activation": "silu"}
        assert node.op == "linear"
