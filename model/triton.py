"""A version's `config.pbtxt` for NVIDIA Triton's model repository, whose layout the registry has."""

from model.card import Card

TRITON_CONFIG = "config.pbtxt"
_MOST_IMAGES = 64  # of one batch


def triton_config(card: Card) -> str:
    """Return the text; it names this version alone, because another of the same name may have other sizes.

    Triton reads the one beside the version folders. It runs the fp32 file where there is one: on a GPU that is the
    faster one, and on a CPU `reid serve` is there for int8.
    """
    shape = f"{card.input.height}, {card.input.width}, 3"
    return (
        f'name: "{card.name}"\nplatform: "onnxruntime_onnx"\nmax_batch_size: {_MOST_IMAGES}\n'
        f'default_model_filename: "{card.model_files[-1]}"\n'
        f"version_policy: {{ specific {{ versions: [ {card.number} ] }} }}\n"
        f'input [{{ name: "{card.input.name}" data_type: TYPE_UINT8 dims: [ {shape} ] }}]\n'
        f'output [{{ name: "{card.output.name}" data_type: TYPE_FP32 dims: [ {card.output.dim} ] }}]\n'
        "dynamic_batching { }\n"
    )
