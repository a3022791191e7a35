"""Talking heads for the sample datasets: rendered, voiced, forged and written as real mp4 files in an official layout.

No photograph and no recording goes in. `generate` plans every clip from the seed, then renders the clips in worker
processes; each clip depends on its plan only, so the files are the same bytes for any number of workers.

settings.py what is rendered   generate.py the whole dataset
plan.py     which clips there are    layouts.py   official trees and lists   people.py  what makes one person
clip.py     one clip from its plan   write.py     mp4 files                  speech.py  voice and mouth
head.py     skin, eyes, mouth        hair.py      hair and beards            scene.py   light, background, body, motion
forgery.py  the fakes                painting.py  primitives
"""
