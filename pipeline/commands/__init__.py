"""The click commands, one file a command; nothing heavy is imported before a command runs."""

# name: (module under pipeline/commands, one line of help); a module is imported when its command runs.
COMMANDS = {
    "demo": ("demo", "Run the whole pipeline on a generated shop, from raw dump to pictures."),
    "download-images": ("download_images", "Fetch the pictures whose addresses a raw dump lists."),
    "preprocess": ("preprocess", "Turn a raw dump into canonical Parquet tables."),
    "extract-features": ("extract_features", "Encode pictures or texts into the feature store."),
    "features": ("features", "List the feature stores, or verify their checksums."),
    "train": ("train", "Train a model on a preprocessed data set."),
    "blend": ("blend", "Add up the scores of finished runs, with weights from validation."),
    "evaluate": ("evaluate", "Rank all items for every user and measure Recall, NDCG and MRR."),
    "compare": ("compare", "Train several models with several seeds, and compare them in one table."),
    "reproduce": ("reproduce", "Reproduce the paper's tables and figures, or tables others published."),
    "tune": ("tune", "Search a model's settings on validation."),
    "report": ("report", "Write one HTML file that shows data, training, results, items and users."),
    "recommend": ("recommend", "List the best items for users of the data set, or for other histories."),
    "export": ("export", "Write a run as files that rank without tssr, or a data set for other systems."),
    "status": ("status", "Show what the workspace holds, what is out of date, and the next command."),
    "clean": ("clean", "Remove files that nothing refers to, after listing them."),
}

# The commands that the processes of a torchrun may run: they share the work of the first three, and the
# others only read. Any other command would do all of its work in each process.
RUN_BY_MANY = frozenset({"train", "evaluate", "extract-features", "features", "status"})
