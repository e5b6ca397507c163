#!/usr/bin/python3
"""The same work in plain PyTorch, for `learning --with-torch`: GPT-2 with tied embeddings.

Reads a command for each line, answers with one line:
    open train LAYERS WIDTH HEADS VOCABULARY CONTEXT BATCH PRECISION -> ready
    open decode LAYERS WIDTH HEADS VOCABULARY CONTEXT BATCH PROMPT NEW -> ready
    open ppo LAYERS WIDTH HEADS VOCABULARY CONTEXT EPISODES PROMPT NEW MINIBATCHES PRECISION -> ready
    turn N -> seconds of each part of N steps (train), generations (decode), iterations (ppo)
    close -> peak memory in kB
Each opening is a process of its own, so that its peak memory is its own.
"""
import os
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, mask, cache=None, at=0):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if cache is not None:
            cache[0][:, :, at : at + t], cache[1][:, :, at : at + t] = k, v
            k, v = cache[0][:, :, : at + t], cache[1][:, :, : at + t]
        scores = q @ k.transpose(2, 3) * (c // self.heads) ** -0.5
        if mask is not None:
            scores = scores + mask
        y = (F.softmax(scores, -1) @ v).transpose(1, 2).reshape(b, t, c)
        x = x + self.out(y)
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Model(nn.Module):
    def __init__(self, layers, width, heads, vocabulary, context, scalar=False):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, 1) if scalar else None
        mask = torch.full((context, context), float("-inf")).triu(1)
        self.register_buffer("mask", mask, persistent=False)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)

    def body(self, ids, cache=None, at=0):
        t = ids.shape[1]
        x = self.tokens(ids) + self.positions.weight[at : at + t]
        mask = self.mask[:t, :t] if t > 1 else None
        for i, block in enumerate(self.blocks):
            x = block(x, mask, cache[i] if cache else None, at)
        return self.norm(x)

    def logits(self, x):
        return x @ self.tokens.weight.t()

    def forward(self, ids):
        x = self.body(ids)
        return self.score(x)[..., 0] if self.score else self.logits(x)


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)


def step(model, optimizer, loss):
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def in_bf16(enabled):
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled)


class Train:
    def __init__(self, layers, width, heads, vocabulary, context, batch, precision):
        self.model = Model(*map(int, (layers, width, heads, vocabulary, context)))
        self.optimizer = adamw(self.model)
        self.bf16 = precision == "bf16"
        self.ids = torch.randint(int(vocabulary), (int(batch), int(context) + 1))

    def turn(self):
        before = time.perf_counter()
        with in_bf16(self.bf16):
            logits = self.model(self.ids[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1).float(), self.ids[:, 1:].flatten())
        step(self.model, self.optimizer, loss)
        return [time.perf_counter() - before]


@torch.inference_mode()
def generate(model, prompt, new):
    b, t = prompt.shape
    heads = model.blocks[0].heads
    head = model.norm.weight.shape[0] // heads
    cache = [torch.empty(2, b, heads, t + new, head) for _ in model.blocks]
    ids = torch.empty(b, t + new, dtype=torch.long)
    ids[:, :t] = prompt
    x = model.body(prompt, cache)
    for at in range(t, t + new):
        probability = F.softmax(model.logits(x[:, -1]), -1)
        ids[:, at : at + 1] = torch.multinomial(probability, 1)
        if at + 1 < t + new:
            x = model.body(ids[:, at : at + 1], cache, at)
    return ids


class Decode:
    def __init__(self, layers, width, heads, vocabulary, context, batch, prompt, new):
        self.model = Model(*map(int, (layers, width, heads, vocabulary, context)))
        self.prompt = torch.randint(int(vocabulary), (int(batch), int(prompt)))
        self.new = int(new)

    def turn(self):
        before = time.perf_counter()
        generate(self.model, self.prompt, self.new)
        return [time.perf_counter() - before]


def log_probs(model, ids, start):
    logits = model.logits(model.body(ids)[:, start - 1 : -1]).float()
    return F.log_softmax(logits, -1).gather(2, ids[:, start:, None])[..., 0]


class Ppo:
    """Rollout, scoring by policy, reference, value and reward model, update of policy and value."""

    def __init__(
        self, layers, width, heads, vocabulary, context, episodes, prompt, new, parts, precision
    ):
        shape = tuple(map(int, (layers, width, heads, vocabulary, context)))
        self.policy, self.reference = Model(*shape), Model(*shape)
        self.value, self.reward = Model(*shape, scalar=True), Model(*shape, scalar=True)
        self.optimizers = adamw(self.policy), adamw(self.value)
        self.average = [p.detach().clone() for p in self.policy.parameters()]
        self.prompt = torch.randint(int(vocabulary), (int(episodes), int(prompt)))
        self.new, self.parts, self.bf16 = int(new), int(parts), precision == "bf16"
        self.rollout_bf16 = self.bf16 and self.rollout(True)[1] < self.rollout(False)[1]

    def rollout(self, bf16):
        before = time.perf_counter()
        with in_bf16(bf16):
            ids = generate(self.policy, self.prompt, self.new).clone()
        return ids, time.perf_counter() - before

    def score(self, ids, start):
        with torch.inference_mode(), in_bf16(self.bf16):
            old = log_probs(self.policy, ids, start)
            reference = log_probs(self.reference, ids, start)
            values = self.value(ids)[:, start - 1 : -1]
            reward = 0.02 * (reference - old)
            reward[:, -1] += self.reward(ids)[:, -1]
            advantage, last = torch.empty_like(values), torch.zeros(len(ids))
            for t in reversed(range(self.new)):
                after = values[:, t + 1] if t + 1 < self.new else 0
                last = reward[:, t] + after - values[:, t] + 0.95 * last
                advantage[:, t] = last
            returns = advantage + values
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        return [x.clone() for x in (old, values, advantage, returns)]

    def update(self, ids, start, old, values, advantage, returns):
        with in_bf16(self.bf16):
            new = log_probs(self.policy, ids, start)
            v = self.value(ids)[:, start - 1 : -1].float()
        ratio = (new - old).exp()
        clipped = ratio.clamp(0.8, 1.2)
        loss = -torch.min(ratio * advantage, clipped * advantage).mean()
        step(self.policy, self.optimizers[0], loss)
        near = torch.max(torch.min(v, values + 0.2), values - 0.2)
        loss = 0.5 * torch.max((v - returns) ** 2, (near - returns) ** 2).mean()
        step(self.value, self.optimizers[1], loss)
        with torch.no_grad():
            for average, p in zip(self.average, self.policy.parameters()):
                average.lerp_(p, 0.008)

    def turn(self):
        start, times = self.prompt.shape[1], [time.perf_counter()]
        ids = self.rollout(self.rollout_bf16)[0]
        times.append(time.perf_counter())
        scored = self.score(ids, start)
        times.append(time.perf_counter())
        for part in range(self.parts):
            self.update(ids[part :: self.parts], start, *(x[part :: self.parts] for x in scored))
        times.append(time.perf_counter())
        return [after - before for before, after in zip(times, times[1:])]


def peak_memory():
    with open("/proc/self/status") as status:
        return next(line.split()[1] for line in status if line.startswith("VmHWM"))


def read_line():
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)  # unbuffered: the next line may be another process's
        if not byte:
            sys.exit(0)
        line += byte
    return line.decode().split()


def serve(kind, *numbers):
    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(7)
    work = {"train": Train, "decode": Decode, "ppo": Ppo}[kind](*numbers)
    print("ready", flush=True)
    while True:
        command = read_line()
        if command[0] == "close":
            break
        parts = [work.turn() for _ in range(int(command[1]) or 1)]  # 0: a warm-up
        print(*(sum(part) for part in zip(*parts)), flush=True)
    print(peak_memory(), flush=True)


def main():
    while True:
        command = read_line()
        child = os.fork()
        if child == 0:
            serve(*command[1:])
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if status != 0:
            print("failed -2 PyTorch's process has ended", flush=True)


main()
