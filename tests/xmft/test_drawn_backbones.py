"""What is kept of a backbone with random weights is not taken for the pretrained one's."""

import torch

from xmft.backbones import drawn_at_random, load_backbone


def test_a_draw_has_a_fingerprint_of_its_own() -> None:
    pretrained = load_backbone("tiny-sequence")
    drawn = drawn_at_random(load_backbone("tiny-sequence"), 2)
    named = load_backbone("tiny-sequence", pretrained=False, seed=2)
    other = load_backbone("tiny-sequence", pretrained=False, seed=3)
    prints = [one.fingerprint for one in (pretrained, drawn, named, other)]
    assert prints[1] == prints[2] and len(set(prints)) == 3
    for one, same in zip(drawn.encoder.parameters(), named.encoder.parameters(), strict=True):
        assert torch.equal(one, same)
    # The texts are embedded as before: they are what the target comes near to.
    after = drawn.source_embedder.state_dict()
    for name, value in pretrained.source_embedder.state_dict().items():
        assert torch.equal(value, after[name]), name
