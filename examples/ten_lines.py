"""From a table of purchases to recommendations: python examples/ten_lines.py."""

import polars as pl

import tssr

log = pl.DataFrame(
    [
        {"customer": f"c{customer}", "sku": f"s{(customer * 7 + step) % 30}", "when": step}
        for customer in range(200)
        for step in range(8)
    ]
)

if __name__ == "__main__":  # tssr starts processes of its own, which read this file again
    workspace = tssr.Workspace("ten-lines")
    shop = workspace.preprocess(interactions=log, user="customer", item="sku", time="when")
    run = shop.train("sasrec-id", width=32, max_epochs=20, learning_rate=3e-3)
    print(run.evaluate(topk=[5, 10], mask="none").select("queries", "candidates", "recall@5", "ndcg@10"))
    print(run.recommend(histories=[["s1", "s2", "s3"]], topk=3))
