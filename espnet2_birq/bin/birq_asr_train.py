"""Fine-tune for speech recognition: ESPnet's ASR command with this plugin's classes and trainer (stages 9 and 10)."""

from __future__ import annotations

from espnet2_birq.errors import run_command


def main() -> None:
    """All options are ESPnet's, plus ``--cpu_dtype``; ``--print_config`` shows them with their defaults."""
    from espnet2_birq.tasks.asr import BiRQASRTask

    BiRQASRTask.main()


if __name__ == "__main__":
    run_command("birq_asr_train", main)
