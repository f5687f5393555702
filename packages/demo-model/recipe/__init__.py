"""The recipe that trains the demo model: world, tasks, tokenizer, model, training, export, evaluation."""
