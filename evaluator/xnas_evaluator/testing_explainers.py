"""The behavioural contract of Explainer. Subclass it and make your explainer; all built-in ones pass it.

class TestSmoothGrad(ExplainerContract):
    quick = {"copies": 3}

    def explainer(self, **settings):
        return SmoothGrad(**settings)

Every test runs on random networks of every installed search space, pruned and not, with squeeze-excitation among them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import pytest
import torch
from torch import Tensor, nn

from xnas_core.graph import Graph
from xnas_evaluator.explain.base import Explainer, Explanation, NotApplicableError
from xnas_evaluator.explain.budget import bytes_per_image
from xnas_evaluator.testing_memory import kept_by_autograd
from xnas_evaluator.testing_sampled_networks import Drawn, Sampled, drawn, sampled

SEED = 7
_REPEATS = 6
_ROUNDING = 2e-4
"""Share of the largest attribution by which two ways to cut the same work may differ: other kernels, other rounding."""
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


_FIRST: dict[tuple[type, str], Explanation] = {}
"""What each contract found first, by network."""


class BrokenOnPurposeError(Exception):
    """What the contract makes a network raise."""


class ExplainerContract:
    """Tests that run over each explainer."""

    quick: ClassVar[Mapping[str, Any]] = {}
    """Settings for tests of behaviour: few steps or draws, so that the suite is fast."""
    thorough: ClassVar[Mapping[str, Any]] = {}
    """Settings for the test of completeness."""
    completeness: ClassVar[float | None] = None
    """Largest completeness error promised with `thorough`, as a share of the sum of the attributions' magnitudes; None
    for a method that promises nothing."""
    takes_budget: ClassVar[bool] = True
    """Whether `budget_bytes` is among its settings, so that the memory bound can be tested at a small one."""

    def explainer(self, **settings: Any) -> Explainer:
        """Return the explainer with these settings and its defaults for the rest; to be overridden."""
        raise AssertionError(f"a subclass of ExplainerContract must define explainer(), not so with {sorted(settings)}")

    def applies(self, graph: Graph) -> bool:
        """Return whether the method has a meaning for the network; where not, it must say so."""
        del graph
        return True

    def nothing(self, case: Sampled) -> Tensor:
        """Return (N,) the scores of the targets for "nothing there", which the attributions start from.

        By default the mean image.
        """
        return _scores(case, torch.zeros_like(case.images))

    @pytest.fixture(params=drawn(), ids=str)
    def case(self, request: pytest.FixtureRequest) -> Sampled:
        """A network that the method applies to, and what to explain."""
        which: Drawn = request.param
        found = sampled(which)
        if not self.applies(found.network.graph):
            pytest.skip("the method has no meaning for this network")
        return found

    @pytest.mark.parametrize("which", drawn(), ids=str)
    def test_it_says_where_it_does_not_apply(self, which: Drawn) -> None:
        """NotApplicableError exactly where `applies` says so; and then nothing is left on the network either."""
        case = sampled(which)
        if self.applies(case.network.graph):
            return
        with _as_it_was(case) as network, pytest.raises(NotApplicableError, match=r"\w{3,} \w{2,}"):
            self.explainer(**self.quick).explain(network, case.images, case.targets, SEED)

    def test_attributions_fit_the_images(self, case: Sampled) -> None:
        """Shape, type, finite values, without a gradient to follow; and the network is as it was."""
        with _as_it_was(case) as network:
            found = self.explainer(**self.quick).explain(network, case.images, case.targets, SEED)
        count, channels, height, width = case.images.shape
        assert tuple(found.attributions.shape) in ((count, 1, height, width), (count, channels, height, width))
        assert found.deltas is None or tuple(found.deltas.shape) == (count,)
        assert all(tuple(share.shape) == (count,) for share in found.layers.values())
        for values in (found.attributions, *([] if found.deltas is None else [found.deltas]), *found.layers.values()):
            assert values.dtype == torch.float32
            assert bool(values.isfinite().all())
            assert not values.requires_grad
        assert bool((found.attributions != 0).any()), "every attribution is zero"
        assert all(isinstance(value, str | int | float | bool) for value in found.parameters.values())

    def test_attributions_add_up(self, case: Sampled) -> None:
        """What is promised: sum of attributions = score(image) - score(nothing), and the deltas say what is missing."""
        if self.completeness is None:
            return
        found = self.explainer(**self.thorough).explain(case.network, case.images, case.targets, SEED)
        magnitude = found.attributions.abs().sum((1, 2, 3))
        missing = found.attributions.sum((1, 2, 3)) - (_scores(case, case.images) - self.nothing(case))
        assert bool((missing.abs() <= self.completeness * magnitude).all()), (missing, magnitude)
        assert found.deltas is not None, "a method that promises completeness records its deltas"
        assert bool((found.deltas.abs() <= self.completeness * magnitude).all()), (found.deltas, magnitude)

    def test_a_second_call_gives_the_same(self, case: Sampled) -> None:
        """Bit for bit, inside `no_grad` too; the caller's random numbers are neither used nor moved."""
        first = self._quickly(case)
        torch.rand(3)
        state = torch.get_rng_state()
        with torch.no_grad():
            again = self._explained(case)
        assert torch.equal(torch.get_rng_state(), state), "the global generator was used"
        assert torch.equal(again.attributions, first.attributions)
        assert (first.deltas is None) == (again.deltas is None)
        assert first.deltas is None or again.deltas is None or torch.equal(again.deltas, first.deltas)
        assert first.layers.keys() == again.layers.keys()
        assert all(torch.equal(share, again.layers[name]) for name, share in first.layers.items())

    def test_an_image_does_not_depend_on_the_others(self, case: Sampled) -> None:
        """Alone, in another order, or beside other images: the same map."""
        together = self._quickly(case)
        for chosen in ([0], [2, 1, 0]):
            other = self._explained(case, chosen)
            _assert_same(other.attributions, together.attributions[chosen])
            if together.deltas is not None and other.deltas is not None:
                _assert_same(other.deltas, together.deltas[chosen], float(together.attributions.abs().sum()))
            for name, share in other.layers.items():
                _assert_same(share, together.layers[name][chosen])

    def test_memory_stays_below_the_budget(self, case: Sampled) -> None:
        """With many images in a small budget: what autograd keeps stays below it, and the maps are the same."""
        if not self.takes_budget:
            pytest.skip("the explainer has no budget_bytes")
        budget = 4 * bytes_per_image(case.network, case.images)
        small = self.explainer(**self.quick, budget_bytes=budget)
        images, targets = case.images.repeat(_REPEATS, 1, 1, 1), case.targets.repeat(_REPEATS)
        with kept_by_autograd(case.network) as kept:
            cut = small.explain(case.network, images, targets, SEED)
        assert kept.peak_bytes <= budget
        _assert_same(cut.attributions, self._quickly(case).attributions.repeat(_REPEATS, 1, 1, 1))

    def test_the_smallest_budget_still_works(self, case: Sampled) -> None:
        """One image at a time is always possible."""
        if not self.takes_budget:
            pytest.skip("the explainer has no budget_bytes")
        found = self.explainer(**self.quick, budget_bytes=1).explain(
            case.network, case.images[:1], case.targets[:1], SEED
        )
        _assert_same(found.attributions, self._quickly(case).attributions[:1])

    def test_a_failure_leaves_nothing_behind(self, case: Sampled) -> None:
        """The network's error gets out, and the network is as it was; only the output of the last module is broken."""
        calls = self._calls(case)
        with _as_it_was(case) as network:
            for where in ("first call", "last call", "backward"):
                breaking = _Breaking(network.train(), where, calls)
                try:
                    self.explainer(**self.quick).explain(network, case.images, case.targets, SEED)
                except BrokenOnPurposeError:
                    assert breaking.broke
                else:
                    assert not breaking.broke, "the error was swallowed"
                    # A method without gradients never gets there.
                    assert where == "backward"
                breaking.mend()
                assert _hooks(network) == [], "hooks are left on the network"
        healed = self.explainer(**self.quick).explain(network, case.images, case.targets, SEED)
        assert torch.equal(healed.attributions, self._quickly(case).attributions)

    def _quickly(self, case: Sampled) -> Explanation:
        """Return what `_explained` gave when it was first asked."""
        key = type(self), case.name
        if key not in _FIRST:
            _FIRST[key] = self._explained(case)
        return _FIRST[key]

    def _explained(self, case: Sampled, chosen: Sequence[int] | None = None) -> Explanation:
        images, targets = (case.images, case.targets) if chosen is None else (case.images[chosen], case.targets[chosen])
        return self.explainer(**self.quick).explain(case.network, images, targets, SEED)

    def _calls(self, case: Sampled) -> int:
        """Return how often the method runs the network."""
        calls: list[None] = []
        network = copy.deepcopy(case.network)
        handle = network.register_forward_pre_hook(lambda *_: calls.append(None))
        self.explainer(**self.quick).explain(network, case.images, case.targets, SEED)
        handle.remove()
        return len(calls)


@dataclass
class _Breaking:
    """Breaks the last module of a network: at its first or last call, or when a gradient comes back to it."""

    network: nn.Module
    where: str
    calls: int
    broke: bool = False

    def __post_init__(self) -> None:
        self.module = [module for module in self.network.modules() if not any(module.children())][-1]
        self.original = self.module.forward
        self.seen = 0
        # An attribute of the instance goes before the class's method.
        self.module.__dict__["forward"] = self._forward

    def _forward(self, *inputs: Tensor) -> Tensor:
        self.seen += 1
        output: Tensor = self.original(*inputs)
        if self.where == "backward":
            if output.requires_grad:
                torch.autograd.graph.register_multi_grad_hook((output,), self._raise, mode="any")
        elif self.seen == (1 if self.where == "first call" else self.calls):
            self._raise()
        return output

    def _raise(self, *_: Tensor) -> NoReturn:
        self.broke = True
        raise BrokenOnPurposeError

    def mend(self) -> None:
        """Make the module whole again."""
        del self.module.__dict__["forward"]


class _as_it_was:  # noqa: N801  reads as the statement that it makes
    """Give a copy of the network, in training mode and with one frozen weight; on leaving, check that it is untouched.

    Eval mode is what an explainer must leave behind.
    """

    def __init__(self, case: Sampled) -> None:
        self._case = case

    def __enter__(self) -> nn.Module:
        self._network = copy.deepcopy(self._case.network).train()
        next(self._network.parameters()).requires_grad_(False)
        self._flags = [parameter.requires_grad for parameter in self._network.parameters()]
        self._images = self._case.images.clone()
        return self._network

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and not issubclass(kind, NotApplicableError):
            return
        network, case = self._network, self._case
        assert _hooks(network) == [], "hooks are left on the network"
        assert not network.training, "the network is not in eval mode"
        assert not any(module.training for module in network.modules()), "a module is not in eval mode"
        assert [parameter.requires_grad for parameter in network.parameters()] == self._flags, "requires_grad changed"
        assert all(parameter.grad is None for parameter in network.parameters()), "a parameter has a gradient"
        whole = case.network.state_dict()
        assert all(torch.equal(value, whole[name]) for name, value in network.state_dict().items()), "weights changed"
        assert torch.equal(case.images, self._images), "the images changed"
        assert not case.images.requires_grad, "the images require a gradient"
        assert torch.is_grad_enabled(), "gradients were switched off"


def _hooks(network: nn.Module) -> list[str]:
    return [name for name, module in network.named_modules() for kind in _HOOKS if getattr(module, kind)]


def _scores(case: Sampled, images: Tensor) -> Tensor:
    with torch.no_grad():
        scores: Tensor = case.network(images).gather(1, case.targets[:, None]).squeeze(1)
    return scores


def _assert_same(found: Tensor, expected: Tensor, scale: float | None = None) -> None:
    largest = float(expected.abs().max()) if scale is None else scale
    apart = float((found - expected).abs().max())
    assert apart <= _ROUNDING * largest + 1e-12, f"{apart} apart, the largest value is {largest}"


def contracts(root: type[ExplainerContract] = ExplainerContract) -> Iterator[type[ExplainerContract]]:
    """Yield every class that was derived from the contract."""
    for kind in root.__subclasses__():
        yield kind
        yield from contracts(kind)
