"""From the stages' Parquet artifacts to batches: shared by train, evaluate and predict.

index: what there is to load. sampler: which of it makes a batch. crops, av: bytes to uint8 tensors, in workers.
transforms: augmentation by name; av_augment: of sequences. batches: loaders, and the step to what a detector reads.
"""
