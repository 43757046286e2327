"""How fast model files run: latency, throughput, loading and memory."""
