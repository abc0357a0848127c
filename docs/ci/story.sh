#!/bin/sh
# A gate on a small invented dataset, from the first run to a regression. Takes minutes on two cores. In a checkout:
#   sh docs/ci/story.sh FOLDER
set -eu
data=$(cd "$(dirname "$0")/../../fixtures/pocket" && pwd)
mkdir -p "$1"
cd "$1"

expect() { # expect CODE COMMAND...: run the command; stop unless it exits with this code
    wanted=$1
    shift
    code=0
    "$@" || code=$?
    if [ "$code" -ne "$wanted" ]; then
        echo "'$*' exited with $code, not with $wanted" >&2
        exit 1
    fi
}

cp -r "$data" data
mkdir -p suites/story
cat >suites/story/suite.yaml <<'END'
schema: harness/suite-2
name: story
dataset: {path: ../../data}
evaluate: {split: test, probe_queries: 10}
pipeline:
  retriever: {model: "embedded:all-minilm-l6-v2", max_length: 64}
  generator: null
  depth: 20
data: {pairs: judged}
candidates:
  tuned: {tune: [retriever]}
recipes:
  retriever:
    epochs: 1
    batch_size: 8
    checkpoints: 1
    learning_rate: 2.0e-5
baseline_rows: [bm25, untuned]
measures: [ndcg@10, recall@10]
gates:
  - {measure: ndcg@10, margin: 0.05}
END

echo "--- Nothing is accepted yet: everything is new, and the gate passes."
harness run -q suites/story
expect 0 harness gate -q suites/story

echo "--- Accept these scores as the baseline."
harness accept suites/story --reason "the first run"
expect 0 harness gate -q suites/story

echo "--- A learning rate that ruins the model: the gate names the candidate and exits with 1."
cp suites/story/suite.yaml original.yaml
sed 's/learning_rate: .*/learning_rate: 1.0e-2/' original.yaml >suites/story/suite.yaml
harness run -q suites/story
expect 1 harness gate -q suites/story

echo "--- A changed corpus: the scores are not comparable. The gate exits with 4 until they are accepted."
cp original.yaml suites/story/suite.yaml
echo '{"_id": "news-1", "title": "News", "text": "A page that was written yesterday."}' >>data/corpus.jsonl
harness run -q suites/story
expect 4 harness gate -q suites/story
harness accept suites/story --reason "a page was added to the corpus"
expect 0 harness gate -q suites/story

echo "--- The accepted scores are gone: everything is new again."
rm -r baselines/story
expect 0 harness gate -q suites/story
