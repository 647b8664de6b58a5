"""Records the embeddings of a few texts: the mean of the last hidden states of transformers' model over all tokens, of length 1.

python Tools/golden/record_embeddings.py MODEL > Fixtures/golden/embeddings/tiny_llama.json
"""
import json
import sys

import torch
from transformers import AutoModel, AutoTokenizer

TEXTS = ["What time does the ferry leave?", "Der Hafen ist voll, und niemand weiß warum.", "a"]

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModel.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
embeddings = []
for text in TEXTS:
    with torch.no_grad():
        hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
    embeddings.append(torch.nn.functional.normalize(hidden.mean(0), dim=0).tolist())
json.dump({"texts": TEXTS, "embeddings": embeddings}, sys.stdout)
