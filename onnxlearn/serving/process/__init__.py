"""What runs in the processes that serve, on MLServer and uvicorn; nothing else imports it."""
