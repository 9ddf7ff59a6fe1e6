"""The rows of the table: what each measures, in which unit, and who does it."""

from typing import NamedTuple

from workers import Worker


class Row(NamedTuple):
    """One comparison. Workers whose name begins with gen_jax are compared with the others, its peers."""

    name: str
    measures: str
    unit: str
    images: float  # in a unit; 0 where it is none of images
    workers: dict[str, Worker]


def rows(device: str) -> list[Row]:
    """All rows; on a GPU with PyTorch compiled besides."""
    plain = {"PyTorch": {}, "PyTorch, fused Adam": {"fused": True}}
    last = {"PyTorch, channels-last": {"channels_last": True}}
    convs = {"PyTorch": {}, **last, "PyTorch, channels-last, fused Adam": {"channels_last": True, "fused": True}}

    once = {"": {}}
    once_or_five = {**once, ", five steps a call": {"steps_per_call": 5}}

    def step(name, measures, images, idea, function, forms, calls=once, **options):
        """A train step: gen_jax by `calls`, PyTorch in its `forms`."""
        ours = {
            f"gen_jax{label}": Worker(f"{idea}_jax:{function}", {**options, **call}) for label, call in calls.items()
        }
        peers = torch(f"{idea}_torch:{function}", forms, **options)
        return Row(name, measures, "step", images, {**ours, **peers})

    def torch(build, forms, **options):
        if device == "gpu":
            *_, (label, best) = forms.items()
            forms = {**forms, f"{label}, compiled": {**best, "compiled": True}}
        return {label: Worker(build, {**options, **form}, ("torch",)) for label, form in forms.items()}

    def sampled(name, what, idea, forms):
        build = f"{idea[0]}_%s:{idea[1]}_sampling"
        workers = {"gen_jax": Worker(build % "jax"), **torch(build % "torch", forms)}
        return Row(name, f"{what}: images by seed, as uint8 on the host", "10,000 images", 10_000, workers)

    def images(name, what, kind, peer):
        workers = {"gen_jax": Worker("inputs:in_jax", {"kind": kind})}
        if peer:
            workers[peer] = Worker("inputs:in_torch", {"kind": kind}, ("torch",))
        return Row(name, f"{what} to float32 batches of 64 on the device", "1,000 images", 1000, workers)

    def start(config):
        workers = {
            f"gen_jax, {'warm' if warm else 'cold'} cache": Worker("startup:train", {"config": config, "warm": warm})
            for warm in (False, True)
        }
        return Row(f"start_{config}", f"`gen-jax train --config={config}` to the end of step 1", "start", 0, workers)

    dcgan = "DCGAN 32x32, batch 64: a critic step and a generator step"
    mlp = "VAE of fully connected networks, 784-200-200-50 and back, batch"
    sets = "Frechet distance, precision, recall, density, coverage of 10,000 x 10,000 rows of 512 features"
    return [
        step("dcgan", dcgan, 64, "gans", "dcgan", convs),
        step("r1", f"{dcgan}, no batch norm in the critic, R1", 64, "gans", "r1", convs),
        step("sngan", "SNGAN 32x32 (256, 128), batch 64: one critic step and one of G", 64, "gans", "sngan", convs),
        step("gan_digits", "`gan_digits` as shipped, batch 64, R1 + R2 at every 4th", 64, "gans", "digits", convs),
        step("vae20", f"{mlp} 20", 20, "vaes", "mlp", plain, once_or_five, batch=20),
        step("vae100", f"{mlp} 100", 100, "vaes", "mlp", plain, once_or_five, batch=100),
        step("vae_conv", "VAE of convolutions, 28x28, batch 64", 64, "vaes", "conv", convs),
        step("iwae", "the same networks, IWAE of 50 samples, batch 20", 20, "vaes", "iwae", plain, batch=20, k=50),
        Row(
            "likelihood",
            "importance-weighted likelihood, k = 5000, of the VAE 784-200-200-50",
            "image",
            1,
            {
                "gen_jax": Worker("likelihood_jax:likelihood", {"k": 5000}),
                "PyTorch": Worker("likelihood_torch:likelihood", {"k": 5000}, ("torch",)),
                "pythae": Worker("likelihood_torch:pythae", {"k": 5000}, ("torch", "pythae")),
            },
        ),
        sampled("sample_dcgan", "DCGAN 32x32", ("gans", "dcgan"), {"PyTorch": {}, **last}),
        sampled("sample_vae", "VAE of fully connected networks", ("vaes", "mlp"), {"PyTorch": {}}),
        step("classifier", "classifier, 32x32 colour, batch 64", 64, "vaes", "classifier", convs),
        step("gpt", "transformer of 4 layers of 192 over 64 tokens, batch 64", 64, "tokens", "gpt", plain),
        Row(
            "sample_gpt",
            "64 images of 64 tokens of that transformer; without a cache every token costs all places",
            "64 images",
            64,
            {
                "gen_jax": Worker("tokens_jax:gpt_sampling"),
                "gen_jax, no cache": Worker("tokens_jax:gpt_sampling", {"cached": False}),
                **torch("tokens_torch:gpt_sampling", {"PyTorch": {}}),
            },
        ),
        Row(
            "sets",
            sets,
            "comparison",
            0,
            {"gen_jax": Worker("sets:in_jax"), "prdc, scipy": Worker("sets:by_prdc", needs=("prdc",))},
        ),
        Row(
            "scores",
            "all scores of 10,000 samples and the real images, 32x32x3 in 512 features",
            "evaluation",
            0,
            {"gen_jax": Worker("sets:all_scores")},
        ),
        images("input_resident", "a set on the device", "resident", "PyTorch, indexed tensor"),
        images("input_npz", "an .npz in memory", "npz", "PyTorch, DataLoader"),
        images("input_folder", "a folder of .png", "folder", "PyTorch, DataLoader"),
        images("input_tfds", "a prepared TFDS set", "tfds", None),
        start("gan_digits"),
        start("vae_digits"),
    ]
