"""A recurrent context model that keeps a state for each speaker."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmemo.models.context import (
    BilinearAttention,
    ContextModel,
    check_sizes,
    reversed_in_dialogues,
)
from mmemo.values import check_real


class DialogueRNN(ContextModel):
    """Global, party and emotion states, read in order, or in both orders.

    Source: Majumder et al. 2019, "DialogueRNN: An Attentive RNN for Emotion Detection in
    Conversations", AAAI, sections "Global State", "Party State" and "Emotion Representation", of
    its variants DialogueRNN (``bidirectional`` and ``attention`` false), BiDialogueRNN, and
    BiDialogueRNN+Att, which its Table 2 finds best. A listener's state stays as it is: the
    paper's listener GRU is its weaker variant.

    Its text leaves open where dropout stands (here on what the emotion states give), what the
    states begin with (here zeros), and the attention's weights (here the identity). Its classifier
    is the run's own head.

    Args:
        input_dim: Features D of an utterance.
        global_dim: Of the global state.
        party_dim: Of a speaker's state.
        emotion_dim: Of the emotion representation, in each direction.
        bidirectional: Whether a second one of its own weights reads the dialogue from its end:
            without, and without ``attention``, no answer depends on what was said later.
        attention: Whether each emotion representation is replaced by an attention over those
            that it may look at: all of the dialogue, or without ``bidirectional`` the earlier
            ones and itself.
        dropout: Of the emotion representations.
    """

    trains_every_weight = True

    def __init__(
        self,
        input_dim: int,
        global_dim: int = 150,
        party_dim: int = 150,
        emotion_dim: int = 100,
        bidirectional: bool = True,
        attention: bool = True,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        check_sizes(global_dim=global_dim, party_dim=party_dim, emotion_dim=emotion_dim)
        check_real("context.dropout", dropout, 0, below=1)
        self.directions = nn.ModuleList(
            DialogueStates(input_dim, global_dim, party_dim, emotion_dim)
            for _ in range(2 if bidirectional else 1)
        )
        self.output_dim = emotion_dim * len(self.directions)
        self.attention = (
            BilinearAttention(self.output_dim, self.output_dim, among_themselves=True)
            if attention
            else None
        )
        self.dropout = nn.Dropout(dropout)

    def in_dialogues(self, vectors: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        """(G, N, D) to (G, N, D'), D' being ``emotion_dim`` for each direction."""
        emotions = [self.directions[0](vectors, speaker)]
        if len(self.directions) > 1:
            from_end = self.directions[1](
                reversed_in_dialogues(vectors, mask), reversed_in_dialogues(speaker, mask)
            )
            emotions.append(reversed_in_dialogues(from_end, mask))
        emotion: Tensor = self.dropout(torch.cat(emotions, dim=2))
        if self.attention is None:
            return emotion
        allowed = mask[:, None, :].expand(-1, mask.shape[1], -1)
        if len(self.directions) == 1:
            allowed = allowed.tril()
        attended: Tensor = self.attention(emotion, emotion, allowed) @ emotion
        return attended


class DialogueStates(nn.Module):
    """The three states through dialogues in one direction.

    With u_t the t-th utterance and s its speaker, in the paper's letters:

    - global state: g_t = GRU_G(g_{t-1}, (u_t, q_{s,t-1}));
    - context: alpha = softmax(u_t^T W_alpha [g_1 … g_{t-1}]), c_t = alpha [g_1 … g_{t-1}]^T;
    - party state of the speaker: q_{s,t} = GRU_P(q_{s,t-1}, (u_t, c_t)); all others stay;
    - emotion representation: e_t = GRU_E(e_{t-1}, q_{s,t}).

    Args:
        input_dim: D, of u.
        global_dim: Of g and c.
        party_dim: Of q.
        emotion_dim: D_e, of e.
    """

    def __init__(self, input_dim: int, global_dim: int, party_dim: int, emotion_dim: int) -> None:
        super().__init__()
        self.global_cell = nn.GRUCell(input_dim + party_dim, global_dim)
        self.party_cell = nn.GRUCell(input_dim + global_dim, party_dim)
        self.emotions = nn.GRU(party_dim, emotion_dim, batch_first=True)
        self.attention = BilinearAttention(input_dim, global_dim)

    def forward(self, vectors: Tensor, speaker: Tensor) -> Tensor:
        """Emotion representations (G, N, D_e) of utterances (G, N, D) and speakers (G, N)."""
        num_dialogues, num_speakers = len(vectors), int(speaker.max()) + 1
        global_state = vectors.new_zeros(num_dialogues, self.global_cell.hidden_size)
        party_dim = self.party_cell.hidden_size
        parties = vectors.new_zeros(num_dialogues, num_speakers, party_dim)
        # g_0 stands first and is not looked at: the first utterance has no context.
        history = [global_state]
        of_speakers: list[Tensor] = []
        for said, who in zip(vectors.unbind(dim=1), speaker.unbind(dim=1), strict=True):
            context = self._attended(said, torch.stack(history, dim=1))
            place = who[:, None, None].expand(-1, 1, party_dim)
            party = parties.gather(1, place)[:, 0]
            global_state = self.global_cell(torch.cat([said, party], dim=1), global_state)
            party = self.party_cell(torch.cat([said, context], dim=1), party)
            parties = parties.scatter(1, place, party[:, None])
            history.append(global_state)
            of_speakers.append(party)
        # The last global state is read by nobody: of dialogues of one utterance none would be, and
        # several processes wait for a gradient, here of 0, of every weight.
        of_speakers[-1] = of_speakers[-1] + 0 * global_state.sum(dim=1, keepdim=True)
        emotions: Tensor = self.emotions(torch.stack(of_speakers, dim=1))[0]
        return emotions

    def _attended(self, said: Tensor, history: Tensor) -> Tensor:
        """c_t (G, D_g) of g_0 and the earlier global states (G, t, D_g)."""
        earlier = torch.ones_like(history[:, None, :, 0], dtype=torch.bool)
        earlier[:, :, 0] = False
        shares = self.attention(said[:, None], history, earlier)
        context: Tensor = (shares @ history)[:, 0]
        return context
