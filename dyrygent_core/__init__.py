"""The pure core: graphs, states and the one function that advances them."""
