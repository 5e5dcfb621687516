"""One thread for every test: results then do not depend on the machine's cores, and busy cores do not stall barriers."""

import torch

torch.set_num_threads(1)
