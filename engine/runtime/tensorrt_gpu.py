"""Compute the network with a TensorRT plan, on a stream and in memory that are ours."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dep.engine.card import ModelCard
from dep.engine.errors import DeviceError, ModelError
from dep.engine.plan_file import PlanOrigin, check_plan
from dep.engine.runtime.contract import INPUT, OUTPUT, check_network
from dep.engine.runtime.device_network import computed_in, lacks_memory
from dep.engine.runtime.rtx_cache import RtxCache
from dep.engine.runtime.tensorrt_api import TensorRt, load_tensorrt
from dep.kernels.cuda.assemble import ScoreType
from dep.kernels.cuda.device import DeviceArray, Graph, StreamDevice

_SCORES: dict[str, ScoreType] = {"FLOAT": "f32", "HALF": "f16", "BF16": "bf16"}


@dataclass
class _Recorded:
    """A context for one pair of buffers, and its launches once they were recorded."""

    context: Any
    graph: Graph | None = None


class TensorRtNetwork:
    """A plan with its execution context; see `DeviceNetwork` for what it offers.

    The memory that TensorRT computes in comes from the device's own pool, so that a
    limit holds for all of it; beside it there are the weights.

    Parameters
    ----------
    path, card, origin
        The plan and what lies beside it.
    device : StreamDevice
        That it will be queued on.
    cuda_graph : bool
        Record each batch's launches once and replay them: saves the host's time where
        tiles are small.

    Raises
    ------
    DeviceError
        No TensorRT, another one than the plan's, another GPU, or TensorRT refuses the
        plan; says which command builds one that fits.
    ModelError
        The network is not what its card says.
    """

    def __init__(
        self,
        path: Path,
        card: ModelCard,
        origin: PlanOrigin,
        device: StreamDevice,
        *,
        cuda_graph: bool = False,
    ) -> None:
        api = load_tensorrt(origin.builder)  # type: ignore[arg-type]  # it checks the name
        check_plan(path, origin, api, device.capability)
        self.name = f"{api.name} {api.version}"
        self.precision = computed_in(card, device, exact=False)
        self._again = f"Build it here with: {origin.command}"
        self._logger = api.logger()
        self._cache = RtxCache(path, api, device) if api.is_rtx else None
        with device.activate():
            self._engine = self._deserialise(api, path, origin)
            self._check(api, path, card)
            # TensorRT-RTX records graphs by itself.
            self._config = self._runtime_config(api, cuda_graph=cuda_graph)
            self._strategy = api.module.ExecutionContextAllocationStrategy.USER_MANAGED
            self._context: Any = self._make_context()
        # Of the plan's bytes nearly all are weights, which TensorRT allocates itself.
        self.outside = path.stat().st_size
        self._records = cuda_graph and not api.is_rtx
        self._recorded: dict[tuple[int, int], _Recorded] = {}
        self._full = 0  # tiles of the batches that are recorded
        self._batch = 0  # that the context is prepared for
        self._workspace: DeviceArray | None = None

    def _deserialise(self, api: TensorRt, path: Path, origin: PlanOrigin) -> Any:  # noqa: ANN401
        self._runtime = api.module.Runtime(self._logger)
        if origin.version_compatible:
            # Such a plan brings the code that runs it with newer versions.
            self._runtime.engine_host_code_allowed = True
        engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            words = self._words()
            if lacks_memory(words):
                message = f"{path}: not enough GPU memory to open the plan: {words}"
                raise DeviceError(message)
            message = (
                f"{path}: {self.name} does not take this plan: {words}. {self._again}"
            )
            raise DeviceError(message)
        return engine

    def _check(self, api: TensorRt, path: Path, card: ModelCard) -> None:
        """Look whether inputs, outputs, types and batches are what is expected."""
        engine, modes = self._engine, api.module.TensorIOMode
        names = [engine.get_tensor_name(k) for k in range(engine.num_io_tensors)]
        shapes: dict[bool, dict[str, list[int | None]]] = {True: {}, False: {}}
        for name in names:
            edges = [int(edge) for edge in engine.get_tensor_shape(name)]
            given = engine.get_tensor_mode(name) == modes.INPUT
            shapes[given][name] = [None if edge < 0 else edge for edge in edges]
        check_network(path, card, shapes[True], shapes[False])
        types = {name: engine.get_tensor_dtype(name).name for name in names}
        if types[INPUT] != "FLOAT" or types[OUTPUT] not in _SCORES:
            message = (
                f"{path}: expected {INPUT} FLOAT and {OUTPUT} one of "
                f"{', '.join(_SCORES)}, found {types[INPUT]} and {types[OUTPUT]}. "
                f"{self._again}"
            )
            raise ModelError(message)
        self.scores = _SCORES[types[OUTPUT]]
        low, _, high = engine.get_tensor_profile_shape(INPUT, 0)
        self.least, self.most = int(low[0]), int(high[0])

    def _runtime_config(self, api: TensorRt, *, cuda_graph: bool) -> Any:  # noqa: ANN401
        """Make what contexts of TensorRT-RTX are made with; None for TensorRT."""
        if not api.is_rtx:
            return None
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(
            api.module.ExecutionContextAllocationStrategy.USER_MANAGED
        )
        strategies = getattr(api.module, "CudaGraphStrategy", None)
        if cuda_graph and strategies is None:
            message = f"{self.name} records no CUDA graphs: leave out --cuda-graph"
            raise DeviceError(message)
        if cuda_graph and strategies is not None:
            config.cuda_graph_strategy = strategies.WHOLE_GRAPH_CAPTURE
        if self._cache is not None:
            self._cache.attach(config)
        return config

    def _make_context(self) -> Any:  # noqa: ANN401
        context = self._engine.create_execution_context(self._config or self._strategy)
        if context is None:
            message = f"{self.name} cannot prepare the plan: {self._words()}"
            raise DeviceError(message)
        return context

    def nbytes(self, batch: int) -> int:
        """Say how much of the device's pool it computes a batch in."""
        self._batch = 0  # whatever the context was prepared for, it no longer is
        return self._shape_for(self._context, batch, self._edges())

    def enqueue(
        self, device: StreamDevice, tiles: DeviceArray, scores: DeviceArray
    ) -> None:
        """Queue a batch; see `DeviceNetwork.enqueue`."""
        if self._context is None:
            message = "the model is closed"
            raise DeviceError(message)
        with device.activate():
            batch = tiles.shape[0]
            self._full = self._full or batch  # the first to come is a full one
            if self._records and batch == self._full:
                self._replay(device, tiles, scores)
            else:
                if batch != self._batch:
                    self._prepare(device, self._context, tiles.shape)
                    self._batch = batch
                self._bind(self._context, device, tiles, scores)
                self._execute(self._context, device)
        if self._cache is not None:
            self._cache.keep()

    def _replay(
        self, device: StreamDevice, tiles: DeviceArray, scores: DeviceArray
    ) -> None:
        """Queue a batch that is recorded at its second time and replayed from then on.

        Each pair of buffers has a context of its own, which nothing changes once it was
        recorded: a graph holds what its context was. The first time it only runs, since
        TensorRT settles what follows from the shapes then (TensorRT, best practices,
        CUDA graphs).
        """
        key = device.pointer(tiles), device.pointer(scores)
        one = self._recorded.get(key)
        if one is None:
            one = _Recorded(self._make_context())
            self._prepare(device, one.context, tiles.shape)
            self._bind(one.context, device, tiles, scores)
            self._recorded[key] = one
            self._execute(one.context, device)
            return
        if one.graph is None:
            one.graph = device.capture(lambda: self._execute(one.context, device))
        device.replay(one.graph)

    def _bind(
        self,
        context: Any,  # noqa: ANN401
        device: StreamDevice,
        tiles: DeviceArray,
        scores: DeviceArray,
    ) -> None:
        context.set_tensor_address(INPUT, device.pointer(tiles))
        context.set_tensor_address(OUTPUT, device.pointer(scores))

    def _execute(self, context: Any, device: StreamDevice) -> None:  # noqa: ANN401
        if not context.execute_async_v3(device.stream_handle):
            words = self._words()
            if lacks_memory(words):
                raise MemoryError(words)
            message = f"{self.name} failed: {words}"
            raise DeviceError(message)

    def _prepare(
        self,
        device: StreamDevice,
        context: Any,  # noqa: ANN401
        shape: tuple[int, ...],
    ) -> None:
        """Set the shapes, and hand over memory that is large enough for them."""
        needed = self._shape_for(context, shape[0], shape[1:])
        if self._workspace is None or self._workspace.nbytes < needed:
            # Graphs and contexts that know the old memory go before it.
            self._recorded.clear()
            self._batch = 0
            self._workspace = None  # first: both at once might not fit
            self._workspace = device.empty((max(needed, 1),), "u1")
        context.set_device_memory(
            device.pointer(self._workspace), self._workspace.nbytes
        )

    def _shape_for(
        self,
        context: Any,  # noqa: ANN401
        batch: int,
        edges: tuple[int, ...],
    ) -> int:
        """Set the input's shape; give the bytes that TensorRT computes it in."""
        if not context.set_input_shape(INPUT, (batch, *edges)):
            message = (
                f"{self.name}: a batch of {batch} is not what the plan was built for "
                f"({self.least} to {self.most}): {self._words()}. {self._again}"
            )
            raise DeviceError(message)
        return int(context.update_device_memory_size_for_shapes())

    def _edges(self) -> tuple[int, ...]:
        shape = self._engine.get_tensor_shape(INPUT)
        return tuple(int(edge) for edge in shape)[1:]

    def _words(self) -> str:
        """Take what TensorRT has said, and forget it."""
        lines = self._logger.lines
        said = "; ".join(lines[-3:]) or "it does not say why"
        lines.clear()
        return said

    def release(self) -> None:
        """Let go of the memory it computes in, and of what was recorded there."""
        self._recorded.clear()
        self._workspace = None
        self._batch = self._full = 0

    def close(self) -> None:
        """Release the network, in the order that TensorRT asks for."""
        if self._context is None:
            return
        if self._cache is not None:
            self._cache.close()
        self.release()
        self._context = None
        self._config = None
        self._engine = None
        self._runtime = None
