"""A graph over the utterances of a dialogue, whose edges know who speaks to whom, and when.

Of the other graph model that the reproduced paper's Table 4 names, Bi-LG-GCN (Alsaadawı and Daş
2024, BAJECE 12(1)), the abstract alone could be read. It tells of kernel PCA of each modality, a
generator, a discriminator and a "bi-lateral gradient graph neural network", and leaves open what
nodes and edges are, whether dialogues are seen at all, the layers, the losses and the split: it is
not built here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mmemo.models.context import BilinearAttention, ContextModel, check_sizes
from mmemo.values import check_real, check_whole


class DialogueGCN(ContextModel):
    """A GRU over the dialogue, then two graph convolutions over windows of it.

    Source: Ghosal et al. 2019, "DialogueGCN: A Graph Convolutional Neural Network for Emotion
    Recognition in Conversation", EMNLP, sections "Sequential Context Encoder", "Speaker-Level
    Context Encoder" and "Emotion Classifier". In its letters:

    - sequential context: g_i = GRU(g_{i±1}, u_i);
    - an edge from j to i for every j of the window i-p … i+f, i itself among them, weighted by
      alpha_ij = softmax over j of g_i^T W_e g_j, and of a relation r that is told by the
      speakers of i and j and by whether j was said before i;
    - first layer: h1_i = ReLU(sum over r and j of r: alpha_ij / c_ir W_r g_j + alpha_ii W_0
      g_i), c_ir being the number of i's neighbours of relation r;
    - second layer: h2_i = ReLU(sum over j of W h1_j + W_0 h1_i);
    - attention over the dialogue's h_i = [g_i, h2_i], beta_i = softmax(h_i^T W_beta [h_1 … h_N]):
      beta_i [h_1 … h_N]^T goes to the head.

    The matrices W_r of the 2 M^2 relations are weighted sums of ``num_bases`` shared ones, as in
    Schlichtkrull et al. 2018 (basis decomposition): most pairs of speakers are rare. A speaker's
    number is that of his or her first utterance in the dialogue; those from ``num_speakers`` on
    are one. The paper leaves open how many speakers its relations tell apart in dialogues of many,
    where dropout stands (here on g and on h1), and what W_e and W_beta begin as: here the identity.

    Args:
        input_dim: Features D of an utterance.
        sequential_dim: Features of g, in each direction.
        graph_dim: Features of h1 and h2.
        past: p, earlier utterances that an utterance has an edge from.
        future: f, later ones.
        num_speakers: M, that relations tell apart.
        num_bases: Shared matrices of which those of the relations are made.
        bidirectional: Whether the GRU reads both ways and the last attention looks at the whole
            dialogue. Without, and whatever ``future`` is, no answer depends on what was said later.
        dropout: Of g and h1.
    """

    trains_every_weight = True

    def __init__(
        self,
        input_dim: int,
        sequential_dim: int = 100,
        graph_dim: int = 100,
        past: int = 10,
        future: int = 10,
        num_speakers: int = 3,
        num_bases: int = 8,
        bidirectional: bool = True,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        check_sizes(
            sequential_dim=sequential_dim,
            graph_dim=graph_dim,
            num_speakers=num_speakers,
            num_bases=num_bases,
        )
        check_whole("context.past", past, 0)
        check_whole("context.future", future, 0)
        check_real("context.dropout", dropout, 0, below=1)
        self.past = past
        self.future = future if bidirectional else 0
        self.num_speakers = num_speakers
        self.bidirectional = bidirectional
        self.sequence = nn.GRU(
            input_dim, sequential_dim, batch_first=True, bidirectional=bidirectional
        )
        context_dim = sequential_dim * (2 if bidirectional else 1)
        self.edge_attention = BilinearAttention(context_dim, context_dim, among_themselves=True)
        self.relational = RelationalLayer(context_dim, graph_dim, 2 * num_speakers**2, num_bases)
        self.neighbours = nn.Linear(graph_dim, graph_dim, bias=False)
        self.itself = nn.Linear(graph_dim, graph_dim)
        self.output_dim = context_dim + graph_dim
        self.attention = BilinearAttention(self.output_dim, self.output_dim, among_themselves=True)
        self.dropout = nn.Dropout(dropout)

    def in_dialogues(self, vectors: Tensor, mask: Tensor, speaker: Tensor) -> Tensor:
        """(G, N, D) to (G, N, D'), D' being that of g and of h2 together."""
        context = self.dropout(self._in_sequence(vectors, mask))
        edges = self.edges(mask)
        weights = self.edge_attention(context, context, edges)
        first = self.relational(context, weights, edges, self.relations(speaker))
        first = self.dropout(torch.relu(first))
        neighbours = edges.to(first.dtype) @ self.neighbours(first)
        second = torch.relu(neighbours + self.itself(first))
        nodes = torch.cat([context, second], dim=2)
        allowed = mask[:, None, :].expand(-1, mask.shape[1], -1)
        if not self.bidirectional:
            allowed = allowed.tril()
        attended: Tensor = self.attention(nodes, nodes, allowed) @ nodes
        return attended

    def _in_sequence(self, vectors: Tensor, mask: Tensor) -> Tensor:
        lengths = mask.sum(dim=1).cpu()
        packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        given, _ = self.sequence(packed)
        context: Tensor = pad_packed_sequence(given, batch_first=True, total_length=mask.shape[1])[
            0
        ]
        return context

    def edges(self, mask: Tensor) -> Tensor:
        """(G, N, N) of a mask (G, N), True where the first of two utterances hears the second."""
        positions = torch.arange(mask.shape[1], device=mask.device)
        ahead = positions - positions[:, None]
        window = (ahead >= -self.past) & (ahead <= self.future)
        return window & mask[:, :, None] & mask[:, None, :]

    def relations(self, speaker: Tensor) -> Tensor:
        """Relation (G, N, N) in [0, 2 M^2) of speakers (G, N); odd where the second was earlier."""
        known = speaker.clamp(max=self.num_speakers - 1)
        pairs = known[:, :, None] * self.num_speakers + known[:, None, :]
        is_earlier = torch.ones_like(pairs[0], dtype=torch.bool).tril(-1)
        return 2 * pairs + is_earlier


class RelationalLayer(nn.Module):
    """Graph convolution with a matrix for each relation, made of shared ones.

    Source: Schlichtkrull et al. 2018, "Modeling Relational Data with Graph Convolutional
    Networks", its propagation rule with basis decomposition, with edges weighted as in Ghosal et
    al. 2019.

    Args:
        input_dim: D, of a node.
        output_dim: D', of its new features.
        num_relations: R.
        num_bases: K, shared matrices.
    """

    def __init__(self, input_dim: int, output_dim: int, num_relations: int, num_bases: int) -> None:
        super().__init__()
        self.bases = nn.ModuleList(
            nn.Linear(input_dim, output_dim, bias=False) for _ in range(num_bases)
        )
        self.coefficients = nn.Parameter(torch.empty(num_relations, num_bases))
        nn.init.xavier_uniform_(self.coefficients)
        self.itself = nn.Linear(input_dim, output_dim)

    def forward(self, nodes: Tensor, weights: Tensor, edges: Tensor, relations: Tensor) -> Tensor:
        """Sum of what the neighbours say and of what a node itself says.

        Args:
            nodes: (G, N, D).
            weights: (G, N, N), of each edge.
            edges: (G, N, N), True where there is one.
            relations: (G, N, N), of each edge.

        Returns:
            (G, N, D').
        """
        alike = (relations[:, :, :, None] == relations[:, :, None, :]) & edges[:, :, None, :]
        scaled = weights / alike.sum(dim=3).clamp(min=1)
        # (G, N, N, K): how much of each shared matrix an edge takes.
        parts = self.coefficients[relations] * scaled[..., None]
        said = torch.stack([base(nodes) for base in self.bases], dim=3)
        messages = torch.einsum("gijk,gjdk->gid", parts, said)
        own = torch.diagonal(weights, dim1=1, dim2=2)[:, :, None]
        kept: Tensor = own * self.itself(nodes)
        return messages + kept
