"""Models that run in this process: found, inspected, loaded, and used to search and to write.

Code that ships with a model is never run, and weights are safetensors only. This package must not know stages.

    loaders             find a model by name, digest its content, load it
    inspection          what a model folder holds, and why it cannot be used
      folders           the parsed files of a model folder
      folder_problems   files, modules and tokenizers that cannot be used
      architecture      whether the weights fit the architecture, without loading them
      encoder_prompts   the prompts that a bi-encoder expects before queries and documents
      tensors           safetensors files, read by their headers
      signatures        caches that end when files change
    generation          write text: batched, the shared prompt prefix computed once
      decoding          the tensors of a batch, the next tokens, the tokens that end a text
      packed_linear     linear layers by oneDNN, on a CPU
      int8_linear       linear layers in int8, on a CPU
      vllm_engine       a model that vLLM runs
      chat_templates    render conversations with the chat template of a tokenizer
      stop_rules        where an answer ends
      thoughts          split a text into thoughts and answer
    template_checks     whether the prompts of a generator hold what they must
    search              exact search in dense and BM25 indexes
    token_batches       texts in batches of like length, for encoders
      shortage          smaller batches where the memory is short
    fakes               a deterministic bi-encoder for tests and examples
"""
