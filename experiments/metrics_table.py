"""Which metric sees what: five severities of five corruptions, on the embedded digits.

    uv run python experiments/metrics_table.py             # prints the table of docs/metrics.md
    uv run python experiments/metrics_table.py --write     # and puts it there

Real images are one half of the training digits (16x16), "generated" ones the other half, corrupted. Features
are 64 random projections of the pixels, probabilities those of a logistic regression fitted to the real
half. Measured on 150 images of either, the same number at every severity, since a Frechet distance falls with
it; memorisation looks at the whole real half, its quantile is 5 %. Everything is seeded; it takes
20 s of processor time.
"""

import argparse
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from gen_jax import data, metrics

PAGE = Path(__file__).parent.parent / "docs" / "metrics.md"
START, END = "<!-- made by experiments/metrics_table.py -->\n", "<!-- end -->\n"
COUNT = 150
SEVERITIES = {
    "noise": (0.05, 0.1, 0.2, 0.3, 0.4),  # standard deviation
    "blur": (0.5, 0.8, 1.2, 1.8, 2.5),  # sigma in pixels
    "JPEG": (60, 30, 15, 7, 3),  # quality
    "modes": (8, 6, 4, 3, 2),  # classes left of ten
    "copies": (0.1, 0.3, 0.5, 0.7, 0.9),  # share replaced by images of the real half
}

# metric -> what it claims of a corruption: it rises ("+") or falls ("-") with the severity at a rank correlation of at
# least 0.9, or stays within a bound of its value on clean images (a number). What is not named is measured, and
# promised by nobody.
CLAIMS = {
    "frechet_distance": {"noise": "+", "blur": "+", "JPEG": "+", "modes": "+"},
    "kernel_distance": {"noise": "+", "blur": "+", "JPEG": "+", "modes": "+"},
    "precision": {"noise": "-", "modes": 0.1},
    "recall": {"blur": "-", "modes": "-"},
    "density": {"noise": "-", "modes": 0.2},
    "coverage": {"noise": "-", "blur": "-", "modes": "-"},
    "inception_score": {"noise": "-", "blur": "-", "modes": "-"},
    "classes_found": {"modes": "-", "noise": 0.0, "JPEG": 0.0, "copies": 0.0},
    "vendi_score": {"blur": "-", "modes": "-", "copies": 0.5},
    "mean_pairwise_distance": {"blur": "-", "copies": 0.1},
    "mean_absolute_error": {"noise": "+", "blur": "+", "JPEG": "+"},
    "psnr": {"noise": "-", "blur": "-", "JPEG": "-"},
    "ssim": {"noise": "-", "blur": "-", "JPEG": "-"},
    "colour_difference": {"noise": "+", "blur": "+", "JPEG": "+"},
    "lab_wasserstein_l": {"noise": "+", "blur": "+", "JPEG": "+"},
    "lab_wasserstein_a": {"noise": 1e-3, "blur": 1e-3, "JPEG": 1e-3, "modes": 1e-3, "copies": 1e-3},
    "lbp_similarity": {"noise": "-", "blur": "-", "modes": 0.1, "copies": 0.05},
    "glcm_contrast": {"noise": "+", "blur": "+", "modes": 0.5},
    "glcm_homogeneity": {"noise": "+", "JPEG": "+", "modes": 0.05},
    "glcm_energy": {"JPEG": "+", "modes": 0.05},
    "glcm_correlation": {"noise": "+", "blur": "+", "modes": 0.05},
    "memorised_share": {"copies": "+"},
    "memorised_copies": {"copies": "+", "noise": 0.0, "blur": 0.0, "JPEG": 0.0, "modes": 0.0},
}
PAIRED = ("mean_absolute_error", "psnr", "ssim", "colour_difference")


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(np.uint8(np.round(image[..., 0] * 255))).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer), np.float32)[..., None] / 255


def corrupt(kind, severity, clean, labels, real, rng):
    """Images [COUNT, H, W, 1] out of the clean half."""
    if kind == "modes":
        kept = np.flatnonzero(labels < severity)
        return clean[rng.choice(kept, COUNT, replace=len(kept) < COUNT)]
    images = clean[:COUNT]
    if kind == "noise":
        return np.float32(np.clip(images + severity * rng.normal(size=images.shape), 0.0, 1.0))
    if kind == "blur":
        return np.float32(gaussian_filter(images, (0, severity, severity, 0)))
    if kind == "JPEG":
        return np.stack([jpeg(image, severity) for image in images])
    replaced = np.arange(COUNT)[:, None, None, None] < severity * COUNT
    return np.where(replaced, real[:COUNT], images)


def measure(setting, fake, pairs) -> dict[str, float]:
    """Every metric of one set of images, by name."""
    real, features, probabilities = setting["real"], setting["features"], setting["probabilities"]
    real_features, fake_features = features(real), features(fake)
    near = metrics.neighbour_metrics(real_features, fake_features)
    texture = metrics.texture_similarity(real, fake)
    memorised = metrics.memorisation(fake_features, features(setting["train"]), features(setting["test"]), q=0.05)
    values = {
        "frechet_distance": metrics.frechet_distance(real_features, fake_features),
        "kernel_distance": metrics.kernel_distance(real_features, fake_features, subsets=1, subset_size=COUNT)[0],
        "inception_score": metrics.inception_score(probabilities(fake), splits=1)[0],
        "classes_found": metrics.label_coverage(probabilities(fake))["classes_found"],
        **near._asdict(),
        "vendi_score": metrics.vendi_score(fake_features - real_features.mean(axis=0)),
        "mean_pairwise_distance": metrics.mean_pairwise_distance(fake),
        "lab_wasserstein_l": metrics.lab_wasserstein(real, fake)["l"],
        "lab_wasserstein_a": metrics.lab_wasserstein(real, fake)["a"],
        **texture,
        "memorised_share": memorised["share_closer"],
        "memorised_copies": memorised["copies"],
    }
    if pairs is not None:
        for name in PAIRED:
            values[name] = float(np.mean(getattr(metrics, name)(pairs, fake)))
    return values


def table() -> tuple[dict, dict]:
    """Clean values {metric: value}, and {metric: {corruption: five values}}."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    train, test = (data.make(name="digits", batch_size=8, split=split) for split in ("train", "test"))
    whole = train.gather(rng.permutation(train.spec.size))
    images, labels = np.float32(whole["image"]) / 255, np.asarray(whole["condition"]["label"])
    projection = rng.normal(size=(images[0].size, 64)) / 8.0
    real, clean = images[::2], images[1::2]
    classifier = LogisticRegression(max_iter=300).fit(real.reshape(len(real), -1), labels[::2])
    setting = {
        "real": real[:COUNT],
        "train": real,
        "test": np.float32(test.gather(np.arange(test.spec.size))["image"]) / 255,
        "features": lambda x: x.reshape(len(x), -1) @ projection,
        "probabilities": lambda x: classifier.predict_proba(x.reshape(len(x), -1)),
    }
    results = {name: {} for name in CLAIMS}
    for kind, severities in SEVERITIES.items():
        for severity in severities:
            fake = corrupt(kind, severity, clean, labels[1::2], real, np.random.default_rng(1))
            pairs = clean[:COUNT] if kind in ("noise", "blur", "JPEG") else None
            for name, value in measure(setting, fake, pairs).items():
                results[name].setdefault(kind, []).append(value)
    return measure(setting, clean[:COUNT], None), results


def correlation(values) -> float:
    """Spearman's, of values with severity; 0 where they are all equal."""
    return 0.0 if np.ptp(values) == 0.0 else float(spearmanr(range(len(values)), values).statistic)


def holds(claim, values, clean) -> bool:
    """Whether five values keep what is claimed of them."""
    if claim in ("+", "-"):
        # Five ranks with one neighbouring pair swapped give 0.9, but for rounding.
        return correlation(values) * (1.0 if claim == "+" else -1.0) > 0.9 - 1e-9
    return bool(np.abs(np.subtract(values, clean)).max() <= claim)


def markdown(clean, results) -> str:
    def number(value):
        return "--" if value is None else f"{value:.3g}"

    def cell(name, kind):
        if kind not in results[name]:
            return "no pairs"
        values, claim = results[name][kind], CLAIMS[name].get(kind)
        rank = f"{correlation(values):+.2f}".replace("-", "\u2212") if np.ptp(values) else "constant"
        ends = f"{number(values[0])} to {number(values[-1])}"
        if claim is None:
            return f"({rank}; {ends})"
        return f"**{rank}**; {ends}" if claim in ("+", "-") else f"*still*; {ends}"

    lines = ["| metric | clean | " + " | ".join(SEVERITIES) + " |", "| --- " * (len(SEVERITIES) + 2) + "|"]
    for name in CLAIMS:
        cells = [f"`{name}`", number(clean.get(name)), *(cell(name, kind) for kind in SEVERITIES)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="replace the table in docs/metrics.md")
    arguments = parser.parse_args()
    clean, results = table()
    text = markdown(clean, results)
    print(text)
    if arguments.write:
        head, rest = PAGE.read_text().split(START)
        PAGE.write_text(head + START + "\n" + text + END + rest.split(END)[1])
    broken = [
        f"{name} on {kind}"
        for name, claims in CLAIMS.items()
        for kind, claim in claims.items()
        if not holds(claim, results[name][kind], clean.get(name))
    ]
    print("claims not kept: " + ", ".join(broken) if broken else "every claim is kept")
    return len(broken)


if __name__ == "__main__":
    sys.exit(main())
