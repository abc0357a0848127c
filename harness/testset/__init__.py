"""Make test questions from documents: cut passages, write questions, filter them, and let people review them.

The modules, in the order in which a question passes them:

    passages       the passages of a corpus that can be asked about, in an order by hash
    dealing        which passage, kind and split is next; documents are dealt to splits
    drafts         what a writer is asked and gives, and the protocol of writers
      local        a model in this process
      endpoint     a model at an endpoint, which also checks
    evidence       where in a passage the evidence of an answer lies
    filters        why a question is dropped
      wordings     the rules that read the question and its passages alone
    items          a question as it stands in the folder
    folder         the files of a dataset folder, read and written
    make           all of it: rounds until there are enough questions
    review         the review as CSV, and its decisions applied
    page           the review as a page
"""
