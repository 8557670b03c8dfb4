package example;

import com.google.gson.Gson;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import io.grpc.CallCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import voyage.gateway.v1.EmbedRequest;
import voyage.gateway.v1.EmbedResponse;
import voyage.gateway.v1.EmbeddingServiceGrpc;
import voyage.gateway.v1.EmbeddingServiceGrpc.EmbeddingServiceBlockingStub;

/**
 * Embeds texts through voyage-gateway, as a Java service does it: a deadline and a credential for each call, retries, and
 * errors that say who must act.
 *
 * <pre>mvn compile exec:java -Dexec.args="localhost:50051 'a text' another"</pre>
 *
 * VOYAGE_GATEWAY_TOKEN_FILE names the file of the bearer token, if the gateway requires one.
 */
public final class Embed {
  private static final Path SERVICE_CONFIG = Path.of("../../deploy/client/service_config.json");

  /** One for a process. In Kubernetes the target is "dns:///NAME:50051" of a headless service, which lists them. */
  static ManagedChannel connect(String target, Path serviceConfig) throws IOException {
    // Numbers must be doubles, as Gson reads them.
    @SuppressWarnings("unchecked")
    Map<String, ?> config = new Gson().fromJson(Files.readString(serviceConfig), Map.class);
    return ManagedChannelBuilder.forTarget(target).usePlaintext().defaultServiceConfig(config).build();
  }

  /** A bearer token that is read for every call: the kubelet renews its file. */
  static final class Bearer extends CallCredentials {
    private static final Metadata.Key<String> AUTHORIZATION =
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
    private final Path file;

    Bearer(Path file) {
      this.file = file;
    }

    @Override
    public void applyRequestMetadata(RequestInfo info, Executor executor, MetadataApplier applier) {
      // Reading may block, which the channel's own threads must not.
      executor.execute(() -> {
        try {
          Metadata headers = new Metadata();
          headers.put(AUTHORIZATION, "Bearer " + Files.readString(file).strip());
          applier.apply(headers);
        } catch (IOException error) {
          applier.fail(Status.UNAUTHENTICATED.withDescription("no token").withCause(error));
        }
      });
    }
  }

  static EmbedResponse embed(EmbeddingServiceBlockingStub stub, List<String> texts, int seconds) {
    return stub.withDeadlineAfter(seconds, TimeUnit.SECONDS)
        .embed(EmbedRequest.newBuilder().addAllInputs(texts).build());
  }

  /** Says who must act. Programs decide by the reason and its domain, never by the message. */
  static String explain(StatusRuntimeException error) throws InvalidProtocolBufferException {
    for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        ErrorInfo info = detail.unpack(ErrorInfo.class);
        return info.getReason() + " of " + info.getDomain() + ": " + error.getMessage();
      }
    }
    return error.getMessage();
  }

  public static void main(String[] arguments) throws Exception {
    boolean failed = false;
    List<String> texts = List.of(arguments).subList(1, arguments.length);
    ManagedChannel channel = connect(arguments[0], SERVICE_CONFIG);
    EmbeddingServiceBlockingStub stub = EmbeddingServiceGrpc.newBlockingStub(channel);
    String token = System.getenv("VOYAGE_GATEWAY_TOKEN_FILE");
    if (token != null) {
      stub = stub.withCallCredentials(new Bearer(Path.of(token)));
    }
    try {
      EmbedResponse reply = embed(stub, texts, 10);
      for (var embedding : reply.getEmbeddingsList()) {
        String text = texts.get(embedding.getIndex());
        System.out.printf("%s\t%d numbers\t%s%n", text, embedding.getValuesCount(), embedding.getCacheStatus());
      }
    } catch (StatusRuntimeException error) {
      System.err.println(explain(error));
      failed = true;
    } finally {
      channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
    }
    if (failed) {
      System.exit(1);
    }
  }
}
