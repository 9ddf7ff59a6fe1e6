"""The verbs that draw a picture of a run: sample, interpolate, reconstruct, complete."""

import sys
from pathlib import Path

from gen_jax.cli.runs import OPTIONS, asked, default_name, opened, record_of, tag
from gen_jax.errors import InputError

MOST_SEEDS = 100_000
MOST_FRAMES = 10_000  # of an animation


def sample(arguments):
    """Draws images by seed."""
    import numpy as np

    from gen_jax.provenance.pictures import grid, write_png

    run = asked(arguments)
    seeds = _seeds(arguments.seeds)
    condition, told, references = _condition(run, arguments, seeds)
    options = {name: value for name in OPTIONS if (value := getattr(arguments, name)) is not None}
    if (arguments.best_of or 1) > 1:
        if not arguments.scorer:
            raise InputError(f"--best_of={arguments.best_of}: needs --scorer=RUN, a matcher trained on the same set")
        scorer = opened(arguments.scorer)
        images = run.best_of(arguments.best_of, scorer, seeds, condition, arguments.temperature, **options)
        options["best_of"] = arguments.best_of
    else:
        images = run.sample(seeds, condition, arguments.temperature, **options)
    record = record_of(run, condition=told, temperature=arguments.temperature, **options)
    if arguments.each:
        folder = Path(arguments.out or default_name(run, record, "each"))
        for seed, image in zip(seeds, images, strict=True):
            write_png(folder / f"seed_{seed:06d}.png", image, {**record, "Seed": seed}, arguments.sign)
        print(folder)
        return 0
    out = Path(arguments.out or default_name(run, record, f"seeds_{tag(arguments.seeds)}", ".png"))
    if out.suffix.lower() != ".png":
        raise InputError(f"--out={out}: a grid is written as .png")
    columns = arguments.columns
    if references is not None:
        images = np.stack([references, images], axis=1).reshape(-1, *images.shape[1:])
        columns = columns or 2 * max(1, round((len(seeds) / 2) ** 0.5))
        record["Title"] = "test example left, the image drawn for its condition right"
    write_png(out, grid(images, columns), {**record, "Seeds": arguments.seeds}, arguments.sign)
    print(out)
    return 0


def interpolate(arguments):
    """Animates the way between seeds."""
    from gen_jax.provenance.pictures import grid, write_animation

    run = asked(arguments)
    seeds = _seeds(arguments.seeds)
    if len(seeds) < 2:
        raise InputError(f"--seeds={arguments.seeds}: an interpolation needs at least two")
    if len(seeds) * arguments.frames > MOST_FRAMES:
        raise InputError(f"--frames={arguments.frames}: of {len(seeds)} seeds; must be <= {MOST_FRAMES // len(seeds)}")
    condition, told, _ = _condition(run, arguments, seeds[:1])
    condition = condition and {name: value[0] for name, value in condition.items()}
    images = run.interpolate(seeds, arguments.frames, condition)
    record = {**record_of(run, condition=told), "Seeds": arguments.seeds, "Frames": arguments.frames}
    out = Path(arguments.out or default_name(run, record, f"interpolation_{tag(arguments.seeds)}", ".webp"))
    write_animation(out, [grid(image[None]) for image in images], record, keys=arguments.sign)
    print(out)
    return 0


def reconstruct(arguments):
    """Shows test images beside their reconstructions."""
    import numpy as np

    from gen_jax.provenance.pictures import grid, write_png

    run = asked(arguments)
    dataset = run.dataset("test")
    count = min(32, dataset.spec.size) if arguments.count is None else arguments.count
    if not 1 <= count <= dataset.spec.size:
        raise InputError(f"--count={count}: the test split has {dataset.spec.size} images")
    from gen_jax.data.condition import chosen
    from gen_jax.data.images import evenly
    from gen_jax.evaluation.evaluate import as_seen

    index = evenly(dataset.spec.size, count)
    batch = as_seen(dataset, {**dataset.gather(index), "index": index}, seed=0)
    images = run.reconstruct(batch["image"], chosen(run.method.conditions, batch))
    pairs = np.stack([batch["image"], images], axis=1).reshape(-1, *images.shape[1:])
    record = record_of(run)
    out = Path(arguments.out or default_name(run, record, "reconstructions", ".png"))
    columns = 2 * max(1, round((count / 2) ** 0.5))
    write_png(
        out,
        grid(pairs, columns),
        {**record, "Title": "test image left, reconstruction right"},
        arguments.sign,
    )
    print(out)
    return 0


def complete(arguments):
    """Draws a part of images anew."""
    import numpy as np

    from gen_jax.cli.complete import parse_mask, picture, rows
    from gen_jax.data.condition import chosen
    from gen_jax.data.images import evenly
    from gen_jax.data.resize import resize
    from gen_jax.evaluation.evaluate import as_seen
    from gen_jax.provenance.pictures import grid, write_png

    run = asked(arguments)
    seeds = _seeds(arguments.seeds)
    mask = parse_mask(arguments.mask, run.spec.shape)
    if arguments.image:
        if arguments.count:
            raise InputError(f"--count={arguments.count}: counts test images; leave IMAGE or --count out")
        image = resize(
            picture(Path(arguments.image), "IMAGE"), image_size=run.spec.shape[:2], channels=run.spec.shape[2]
        )
        images = np.where(image < 128, 0, 255).astype(np.uint8)[None] if run.spec.binary else image[None]
        condition, told, _ = _condition(run, arguments, [0])
    else:
        dataset = run.dataset("test")
        index = evenly(dataset.spec.size, min(arguments.count or 4, dataset.spec.size))
        batch = as_seen(dataset, {**dataset.gather(index), "index": index}, seed=0)
        images, told = batch["image"], "test"
        condition = chosen(run.method.conditions, batch)
        if arguments.condition or arguments.conditions:
            raise InputError("--condition: test images have their own; give IMAGE, or leave it out")
    record = record_of(run, condition=told)
    record |= {"Title": "image, what is kept of it, and completions", "Seeds": arguments.seeds}
    out = Path(arguments.out or default_name(run, record, f"completions_{Path(arguments.mask).stem}", ".png"))
    write_png(out, grid(rows(run, images, mask, seeds, condition), 2 + len(seeds)), record, arguments.sign)
    print(out)
    return 0


def _condition(run, arguments, seeds):
    """What images are asked for by, in arrays and in words, and for --condition=test the images to compare with."""
    import numpy as np

    from gen_jax.data.condition import note, parse, repeated

    known = run.method.conditions
    given = {}
    for name, text in arguments.conditions:
        if name not in known:
            has = f"has {', '.join(known)}" if known else "is not conditional"
            raise InputError(f"--condition.{name}: the model {has}")
        given[name] = repeated(name, known[name], parse(name, known[name], text), len(seeds))
        if told := note(known[name], text):
            print(f"--condition.{name}={text}: {told}", file=sys.stderr)
    told = ", ".join(f"{name}={text}" for name, text in arguments.conditions) or None
    if arguments.condition is None:
        return given or None, told, None
    if arguments.condition != "test":
        raise InputError(f"--condition={arguments.condition}: expected test; or give --condition.NAME=VALUE")
    if not known or given:
        raise InputError("--condition=test: " + ("give it alone" if known else "the model is not conditional"))
    test = run.dataset("test")
    index = np.asarray(seeds) % test.spec.size
    batch = test.gather(index)
    return {name: batch["condition"][name] for name in known}, "test", batch["image"]


def _seeds(text):
    """[0, 1, 2, 7] from "0-2,7"."""
    seeds = []
    try:
        for part in text.split(","):
            first, dash, last = part.partition("-")
            numbers = range(int(first), int(last if dash else first) + 1)
            if len(numbers) + len(seeds) > MOST_SEEDS:
                raise InputError(f"--seeds={text}: ask for at most {MOST_SEEDS:,} at once")
            seeds += numbers
    except InputError:
        raise
    except ValueError:
        raise InputError(f"--seeds={text}: expected numbers and ranges, as in 0-15 or 3,7,9") from None
    if not seeds:
        raise InputError(f"--seeds={text}: no seed in it; ranges go upwards, as in 0-15")
    return seeds
