"""Context models: masks, directions, sizes small enough for hand, and what only context tells."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mmemo.data.dialogues import Dialogues, Turn
from mmemo.errors import InputError
from mmemo.models.context import BilinearAttention, ContextModel, reversed_in_dialogues
from mmemo.models.dialogue_gcn import DialogueGCN, RelationalLayer
from mmemo.models.dialogue_rnn import DialogueRNN, DialogueStates

DIM = 3


def rnn(**options: object) -> ContextModel:
    return DialogueRNN(DIM, global_dim=5, party_dim=4, emotion_dim=6, dropout=0.0, **options)  # type: ignore[arg-type]


def gcn(**options: object) -> ContextModel:
    sizes = {"sequential_dim": 4, "graph_dim": 5, "num_bases": 3, "past": 2, "future": 2}
    return DialogueGCN(DIM, dropout=0.0, **{**sizes, **options})  # type: ignore[arg-type]


BUILDERS: dict[str, Callable[..., ContextModel]] = {"recurrent": rnn, "graph": gcn}
BOTH = pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)


def turns(name: str, speakers: str) -> list[Turn]:
    return [Turn(name, speaker) for speaker in speakers]


def random_vectors(num: int, seed: int = 1) -> Tensor:
    return torch.randn(num, DIM, generator=torch.Generator().manual_seed(seed))


def built(build: Callable[..., ContextModel], **options: object) -> ContextModel:
    torch.manual_seed(0)
    model = build(**options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.7)
    return model.eval()


@BOTH
@pytest.mark.parametrize("bidirectional", [True, False])
def test_a_dialogue_is_answered_as_if_it_were_alone(
    build: Callable[..., ContextModel], bidirectional: bool
) -> None:
    model = built(build, bidirectional=bidirectional)
    dialogues = {"long": "abacab", "short": "ba", "one": "c"}
    # Their utterances stand between one another, each dialogue's in order.
    mixed = sorted(
        (Turn(name, who) for name, speakers in dialogues.items() for who in speakers),
        key=lambda turn: turn.dialogue == "short",
    )
    vectors = random_vectors(len(mixed))
    together = model(vectors, Dialogues.of(mixed))
    assert together.shape == (9, model.output_dim)
    for name, speakers in dialogues.items():
        places = [place for place, turn in enumerate(mixed) if turn.dialogue == name]
        alone = model(vectors[places], Dialogues.of(turns(name, speakers)))
        torch.testing.assert_close(together[places], alone, rtol=0, atol=1e-5)


@BOTH
def test_no_gradient_crosses_dialogues(build: Callable[..., ContextModel]) -> None:
    model = built(build)
    vectors = random_vectors(5).requires_grad_()
    given = model(vectors, Dialogues.of([*turns("a", "xy"), *turns("b", "xyx")]))
    given[:2].sum().backward()
    assert vectors.grad is not None
    assert vectors.grad[:2].abs().sum(dim=1).gt(0).all()
    assert not vectors.grad[2:].any()


@BOTH
@pytest.mark.parametrize("bidirectional", [True, False])
def test_one_that_reads_forwards_does_not_know_the_future(
    build: Callable[..., ContextModel], bidirectional: bool
) -> None:
    model = built(build, bidirectional=bidirectional)
    dialogues = Dialogues.of(turns("a", "xyxzx"))
    vectors = random_vectors(5).requires_grad_()
    model(vectors, dialogues)[2].sum().backward()
    assert vectors.grad is not None
    heard = vectors.grad.abs().sum(dim=1).gt(0).tolist()
    assert heard == [True, True, True, bidirectional, bidirectional]


@BOTH
@pytest.mark.parametrize("speakers", ["abcab", "a"])
def test_every_weight_is_trained(build: Callable[..., ContextModel], speakers: str) -> None:
    # Also of a batch of one utterance: several processes wait for each other's gradients.
    model = built(build)
    model(random_vectors(len(speakers)), Dialogues.of(turns("d", speakers))).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        if len(speakers) > 1:
            assert parameter.grad.abs().sum() > 0, name


@BOTH
def test_who_speaks_matters_and_what_they_are_called_does_not(
    build: Callable[..., ContextModel],
) -> None:
    model = built(build)
    vectors = random_vectors(4)

    def given(speakers: str) -> Tensor:
        answers: Tensor = model(vectors, Dialogues.of(turns("d", speakers)))
        return answers

    torch.testing.assert_close(given("abab"), given("xyxy"))
    assert not torch.allclose(given("abab"), given("aabb"), atol=1e-3)


def forget(cell: nn.Module, weight: list[list[float]], layer: str = "") -> None:
    """Make a GRU of one unit tanh(weight x): its gates let nothing of the old state through."""
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.get_parameter(f"weight_ih{layer}")[2:].copy_(torch.tensor(weight))
        cell.get_parameter(f"bias_ih{layer}")[1] = -100.0


def test_dialogue_rnn_by_hand() -> None:
    states = DialogueStates(1, 1, 1, 1)
    forget(states.global_cell, [[1.0, 2.0]])
    forget(states.party_cell, [[1.0, 3.0]])
    forget(states.emotions, [[1.0]], "_l0")
    with torch.no_grad():
        states.attention.weight.weight.copy_(torch.tensor([[0.5]]))
    said = torch.tensor([0.4, -0.3, 0.8])
    emotion = states(said[None, :, None], torch.tensor([[0, 1, 0]]))[0, :, 0]

    tanh = torch.tanh
    first, second, third = said
    # The first: no context yet, and both speakers' states are 0.
    g_1, q_a = tanh(first), tanh(first)
    # The second, by another: its context is all of g_1.
    g_2, q_b = tanh(second), tanh(second + 3 * g_1)
    # The third, by the first again: shares of g_1 and g_2 by exp(0.8 * 0.5 * g).
    one, two = torch.exp(0.4 * g_1), torch.exp(0.4 * g_2)
    context = (one * g_1 + two * g_2) / (one + two)
    again = tanh(third + 3 * context)
    torch.testing.assert_close(emotion, tanh(torch.stack([q_a, q_b, again])))
    # The global state reads the speaker's own state before this utterance.
    with torch.no_grad():
        states.attention.weight.weight.fill_(1000.0)
    fourth = states(torch.tensor([[[0.4], [-0.3], [0.8], [0.1]]]), torch.tensor([[0, 1, 0, 1]]))[
        0, 3, 0
    ]
    # Of a query above 0 the largest global state is looked at alone: g_3 = tanh(0.8 + 2 q_a).
    g_3 = tanh(third + 2 * q_a)
    torch.testing.assert_close(fourth, tanh(tanh(0.1 + 3 * g_3)))


def test_dialogue_gcn_windows_and_relations() -> None:
    model = DialogueGCN(1, past=1, future=2, num_speakers=2)
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    edges = model.edges(mask).int().tolist()
    assert edges[0] == [[1, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]]
    assert edges[1] == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    # Pairs (i, j) of speakers 0, 1 and 2, the third counted as the second: 2 (2 s_i + s_j).
    relations = model.relations(torch.tensor([[0, 1, 2]]))[0].tolist()
    assert relations == [[0, 2, 2], [5, 6, 6], [5, 7, 6]]


def test_a_relational_layer_by_hand() -> None:
    layer = RelationalLayer(1, 1, num_relations=2, num_bases=2)
    with torch.no_grad():
        layer.bases[0].weight.fill_(1.0)
        layer.bases[1].weight.fill_(10.0)
        # W_0 = 1 + 20 = 21, W_1 = 3.
        layer.coefficients.copy_(torch.tensor([[1.0, 2.0], [3.0, 0.0]]))
        layer.itself.weight.fill_(100.0)
        layer.itself.bias.zero_()
    nodes = torch.tensor([[[1.0], [2.0], [4.0]]])
    weights = torch.tensor([[[0.5, 0.3, 0.2], [0.6, 0.4, 0.0], [0.0, 0.0, 1.0]]])
    edges = weights > 0
    relations = torch.tensor([[[0, 1, 1], [0, 0, 0], [0, 0, 1]]])
    given = layer(nodes, weights, edges, relations)[0, :, 0]
    expected = [
        0.5 * 21 * 1 + (0.3 * 3 * 2 + 0.2 * 3 * 4) / 2 + 0.5 * 100 * 1,
        (0.6 * 21 * 1 + 0.4 * 21 * 2) / 2 + 0.4 * 100 * 2,
        1.0 * 3 * 4 + 1.0 * 100 * 4,
    ]
    torch.testing.assert_close(given, torch.tensor(expected))


def test_attention_is_a_softmax_over_what_is_allowed() -> None:
    attention = BilinearAttention(1, 1)
    with torch.no_grad():
        attention.weight.weight.fill_(2.0)
    allowed = torch.tensor([[[True, True, False], [False, False, False]]])
    keys = torch.tensor([[[0.0], [1.0], [9.0]]])
    shares = attention(torch.tensor([[[0.5], [1.0]]]), keys, allowed)[0]
    first = 1 / (1 + torch.exp(torch.tensor(1.0)))
    torch.testing.assert_close(shares[0], torch.stack([first, 1 - first, torch.tensor(0.0)]))
    assert not shares[1].any()


def test_among_themselves_each_looks_at_its_like_first() -> None:
    vectors = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    allowed = torch.ones(1, 2, 2, dtype=torch.bool)
    shares = BilinearAttention(2, 2, among_themselves=True)(vectors, vectors, allowed)[0]
    scores = torch.tensor([[1.0, 0.0], [0.0, 4.0]])
    torch.testing.assert_close(shares, scores.softmax(dim=1))


def test_only_the_real_utterances_are_reversed() -> None:
    mask = torch.tensor([[True, True, True], [True, True, False]])
    sequence = torch.tensor([[1, 2, 3], [4, 5, 0]])
    assert reversed_in_dialogues(sequence, mask).tolist() == [[3, 2, 1], [5, 4, 0]]
    assert reversed_in_dialogues(sequence[..., None], mask)[..., 0].tolist() == [
        [3, 2, 1],
        [5, 4, 0],
    ]


def task(num: int, seed: int) -> tuple[Tensor, Dialogues, Tensor]:
    """Dialogues whose class is told by what the same speaker has said last, never by itself."""
    generator = torch.Generator().manual_seed(seed)
    vectors, whole, target = [], [], []
    for number in range(num):
        last: dict[str, int] = {}
        for _ in range(int(torch.randint(4, 8, (), generator=generator))):
            who = "ab"[int(torch.randint(2, (), generator=generator))]
            word = int(torch.randint(2, (), generator=generator))
            vectors.append([1.0 - 2 * word, 2.0 * word - 1, 1.0])
            whole.append(Turn(str(number), who))
            target.append(last.get(who, 2))
            last[who] = word
    return torch.tensor(vectors), Dialogues.of(whole), torch.tensor(target)


@pytest.mark.parametrize(
    ("model", "least_share"), [(DialogueRNN, 0.04), (DialogueGCN, 0.5)], ids=BUILDERS
)
def test_untrained_it_tells_the_utterances_of_a_dialogue_apart(
    model: Callable[[int], ContextModel], least_share: float
) -> None:
    torch.manual_seed(0)
    context = model(64).eval()
    dialogues = Dialogues.of([Turn(str(i // 8), "ab"[i % 2]) for i in range(160)])
    given = context(torch.randn(160, 64), dialogues).detach()
    within = given.view(20, 8, -1).var(dim=1, correction=0).mean()
    # 0.0002 and 0.03 with attentions of random weights: one mean for the whole dialogue.
    assert float(within / given.var(dim=0, correction=0).mean()) > least_share


@pytest.mark.slow
@BOTH
def test_learns_what_only_the_dialogue_tells(build: Callable[..., ContextModel]) -> None:
    torch.manual_seed(0)
    sizes = {"graph": {"sequential_dim": 32, "graph_dim": 32}, "recurrent": {}}
    name = next(name for name, builder in BUILDERS.items() if builder is build)
    context = (
        DialogueRNN(DIM, 32, 32, 32, dropout=0.0)
        if name == "recurrent"
        else DialogueGCN(DIM, past=6, future=0, dropout=0.0, **sizes[name])
    )
    head = nn.Linear(context.output_dim, 3)
    optimizer = torch.optim.Adam([*context.parameters(), *head.parameters()], lr=5e-3)
    vectors, dialogues, target = task(150, seed=0)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(head(context(vectors, dialogues)), target).backward()
        optimizer.step()
    vectors, dialogues, target = task(60, seed=1)
    accuracy = (head(context(vectors, dialogues)).argmax(dim=1) == target).float().mean()
    # By itself an utterance tells nothing: the most frequent class is right in about 0.4.
    assert float(target.bincount().max() / len(target)) < 0.5
    assert accuracy > 0.9


@pytest.mark.parametrize(
    ("build", "option", "value"),
    [(rnn, "bidirectional", None), (gcn, "past", -1), (gcn, "num_speakers", 0)],
)
def test_sizes_are_checked(
    build: Callable[..., ContextModel], option: str, value: int | None
) -> None:
    if value is None:
        with pytest.raises(InputError, match="context.party_dim: expected at least 1, got 0"):
            DialogueRNN(DIM, party_dim=0)
        return
    with pytest.raises(InputError, match=f"context.{option}: expected at least"):
        build(**{option: value})
