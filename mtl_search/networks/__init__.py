"""Networks: from an architecture to something that can be trained.

Read :mod:`~mtl_search.networks.geometry` (channels), :mod:`~mtl_search.networks.reference` (the layer, as the paper
writes it), :mod:`~mtl_search.networks.layer` (the same, fused) and :mod:`~mtl_search.networks.network`, in this order.
"""
