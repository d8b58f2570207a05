"""The agent: holds the stream to the server and supervises one worker process for each slot. Never imports torch."""
