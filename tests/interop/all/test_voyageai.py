"""Voyage's own Python package against the simulator: its requests are accepted, and its results are those of plain HTTP."""

import pytest

import PIL.Image

import deployment
import plain_http
import processes

MEDIA = processes.ROOT / "tests/fixtures/media"
TEXTS = ["a loaf of bread", "the last train", "a loaf of bread and butter"]
DOCUMENTS = [["a loaf", "of bread"], ["the last train", "has left", "the station"]]
DTYPES = ["float", "int8", "uint8", "binary", "ubinary"]


@pytest.fixture(scope="module")
def voyageai():
    return __import__("voyageai")


@pytest.fixture(scope="module")
def voyage():
    simulator = processes.simulate("--api-key", plain_http.KEY)
    yield simulator
    simulator.kill()


@pytest.fixture
def client(voyageai, voyage):
    return voyageai.Client(api_key=plain_http.KEY, base_url=deployment.base_url(voyage), timeout=processes.PATIENCE)


def same(found, expected):
    """Whether vectors are equal; the package and JSON write a float in different ways."""
    return found == [pytest.approx(vector, abs=1e-6) for vector in expected]


@pytest.mark.parametrize("dtype", DTYPES)
def test_texts_in_every_dtype(client, voyage, dtype):
    result = client.embed(TEXTS, model="voyage-4", input_type="query", output_dtype=dtype, output_dimension=256)
    plain = plain_http.post(
        voyage,
        "embeddings",
        input=TEXTS,
        model="voyage-4",
        input_type="query",
        output_dtype=dtype,
        output_dimension=256,
    )
    assert len(result.embeddings[0]) == (32 if "binary" in dtype else 256)
    assert same(result.embeddings, plain_http.vectors(plain))
    assert result.total_tokens == plain["usage"]["total_tokens"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_chunks_in_every_dtype(client, voyage, dtype):
    result = client.contextualized_embed(
        DOCUMENTS, model="voyage-context-4", input_type="document", output_dtype=dtype, output_dimension=512
    )
    plain = plain_http.post(
        voyage,
        "contextualizedembeddings",
        inputs=DOCUMENTS,
        model="voyage-context-4",
        input_type="document",
        output_dtype=dtype,
        output_dimension=512,
    )
    assert [len(each.embeddings) for each in result.results] == [2, 3]
    for each, document in zip(result.results, plain["data"], strict=True):
        assert same(each.embeddings, plain_http.vectors(document))
    assert result.total_tokens == plain["usage"]["total_tokens"]
    assert result.chunk_texts is None
    assert result.chunker_version is None


def test_documents_divided_by_the_provider(client):
    text = " ".join(f"word{number}" for number in range(200))
    result = client.contextualized_embed(
        [text, "short"],
        model="voyage-context-4",
        input_type="document",
        enable_auto_chunking=True,
        chunk_size=64,
    )
    assert "".join(result.chunk_texts[0]) == text
    assert len(result.chunk_texts[0]) > 1
    assert result.chunk_texts[1] == ["short"]
    assert [len(each.embeddings) for each in result.results] == [len(texts) for texts in result.chunk_texts]
    assert result.chunker_version


def test_queries_of_a_context_model(client):
    result = client.contextualized_embed(TEXTS, model="voyage-context-4", input_type="query")
    assert [len(each.embeddings) for each in result.results] == [1, 1, 1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_contents_in_every_dtype(client, voyage, dtype):
    image = PIL.Image.open(MEDIA / "picture.png")
    result = client.multimodal_embed(
        [["a sailboat", image], ["a sailboat"]],
        model="voyage-multimodal-3.5",
        input_type="document",
        output_dtype=dtype,
        output_dimension=256,
    )
    assert [len(vector) for vector in result.embeddings] == [32 if "binary" in dtype else 256] * 2
    # 48 x 32 pixels are billed as 50,000.
    assert (result.image_pixels, result.video_pixels) == (50_000, 0)
    assert result.total_tokens == result.text_tokens + 89


def test_contents_by_url_and_a_video(voyageai, client):
    video = voyageai.video_utils.Video.from_path(str(MEDIA / "clip.mp4"), model="voyage-multimodal-3.5", optimize=False)
    result = client.multimodal_embed([[video, "a clip"]], model="voyage-multimodal-3.5")
    # 16 frames, each billed as 50,000 pixels.
    assert (result.image_pixels, result.video_pixels) == (0, 800_000)
    urls = [{"content": [{"type": "image_url", "image_url": "https://example.com/a.png"}]}]
    assert client.multimodal_embed(urls, model="voyage-multimodal-3.5").image_pixels > 0


def test_reranking(client, voyage):
    result = client.rerank("bread and butter", TEXTS, model="rerank-3", top_k=2)
    assert [(each.index, each.document) for each in result.results] == [(2, TEXTS[2]), (0, TEXTS[0])]
    plain = plain_http.post(voyage, "rerank", query="bread and butter", documents=TEXTS, model="rerank-3")
    assert [each.relevance_score for each in result.results] == [
        each["relevance_score"] for each in plain["data"][:2]
    ]
    assert result.total_tokens == plain["usage"]["total_tokens"]


def test_refusals_are_the_errors_of_the_package(voyageai, voyage, client):
    with pytest.raises(voyageai.error.InvalidRequestError, match="cannot contain empty strings or empty lists"):
        client.embed(["a", ""], model="voyage-4")
    with pytest.raises(voyageai.error.InvalidRequestError, match="do not support truncation"):
        client.contextualized_embed([["word " * 32_001]], model="voyage-context-4")
    with pytest.raises(voyageai.error.InvalidRequestError, match="The query has too many tokens"):
        client.rerank("word " * 8_001, TEXTS, model="rerank-3", truncation=False)
    with pytest.raises(voyageai.error.InvalidRequestError, match="Model voyage-4 is not supported"):
        client.rerank("bread", TEXTS, model="voyage-4")
    stranger = voyageai.Client(api_key="pa-other", base_url=deployment.base_url(voyage))
    with pytest.raises(voyageai.error.AuthenticationError, match="Provided API key is invalid"):
        stranger.rerank("bread", TEXTS, model="rerank-3")
