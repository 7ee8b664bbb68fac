"""Pretrain with BiRQ or BEST-RQ: ESPnet's trainer command with this plugin's task (stages 6 and 7)."""

from __future__ import annotations

from espnet2_birq.errors import run_command


def main() -> None:
    """All options are ESPnet's; ``--print_config`` shows them with their defaults."""
    from espnet2_birq.tasks.birq import BiRQTask

    BiRQTask.main()


if __name__ == "__main__":
    run_command("birq_train", main)
