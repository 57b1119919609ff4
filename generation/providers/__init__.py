"""Who makes the text and the speech: offline, OpenAI, Amazon Polly."""
