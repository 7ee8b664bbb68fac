"""A diagnosis in a few lines for the log, and in numbers short enough to read."""

from __future__ import annotations

from typing import Any


def above_chance(row: dict[str, Any]) -> float:
    """PNMI less that of the same labels shuffled, which grows with the number of codes alone."""
    return row["pnmi"] - row["pnmi_of_shuffled_labels"]


def rounded(value: Any) -> Any:
    """Numbers at six digits, for a file that people read."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry) for entry in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def summary(report: dict[str, Any]) -> list[str]:
    """The report in a few lines for the log."""
    anchoring, enhanced, layers = report["anchoring"], report["enhanced"], report["layers"]
    lines = [
        f"anchoring labels: {anchoring['used']:.0f} of {anchoring['codes']:.0f} codes used, perplexity "
        f"{anchoring['perplexity']:.1f}, masked accuracy {anchoring['masked_accuracy']:.3f} against "
        f"{anchoring['masked_majority_rate']:.3f} by majority"
    ]
    if enhanced is not None:
        lines.append(
            f"enhanced labels (layer {enhanced['layer']}): {enhanced['used']:.0f} of {enhanced['codes']:.0f} codes "
            f"used, perplexity {enhanced['perplexity']:.1f}, masked accuracy {enhanced['masked_accuracy']:.3f} against "
            f"{enhanced['masked_majority_rate']:.3f}, label perplexity {enhanced['label_perplexity']:.2f}, agreement "
            f"{enhanced['agreement_with_nearest_code']:.2f}, NMI with anchoring {enhanced['nmi_with_anchoring']:.3f}"
        )
        gradients = report["gradients"]
        lines.append(
            f"gradients: w1 dF has {gradients['enhanced_share']:.1%} of the norms, the label path "
            f"{gradients['label_path_share']:.1%} of that, cosine with dG {gradients['cosine']:.2f}"
        )
    lines.append("effective rank: " + ", ".join(f"{row['layer']} {row['effective_rank']:.1f}" for row in layers))
    if report["reference"] is not None:
        told = [f"anchoring {above_chance(anchoring):.3f}"]
        if enhanced is not None:
            told.append(f"enhanced {above_chance(enhanced):.3f}")
        told += [f"clusters of layer {row['layer']} {above_chance(row):.3f}" for row in layers]
        lines.append(f"PNMI above chance, against {report['reference']['kind']}: {', '.join(told)}")
    if report["churn"] is not None:
        lines.append(
            f"churn: {report['churn']['enhanced']:.1%} of enhanced labels differ in {report['churn']['other_model']}"
        )
    if report["probe"] is not None:
        lines.append(f"linear CTC probe: CER {report['probe']['cer']:.1%}")
    return lines
