import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

/** What the sample calls and the page does not show: a stand-in of the same form. */
public class ThuliumRestClient {
    private final String login;

    /** The third argument lets any certificate pass, which a test over plain HTTP has no use for. */
    public ThuliumRestClient(String user, String password, boolean trustsAll) {
        byte[] pair = (user + ":" + password).getBytes(StandardCharsets.UTF_8);
        login = "Basic " + Base64.getEncoder().encodeToString(pair);
    }

    public ThuliumRestResponse post(String url, String body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url))
                .header("Authorization", login)
                .header("Content-Type", "application/json; charset=utf-8")
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
        HttpResponse<String> answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        return new ThuliumRestResponse(answer.statusCode(), answer.body());
    }

    public static class ThuliumRestResponse {
        private final int status;
        private final String body;

        ThuliumRestResponse(int status, String body) {
            this.status = status;
            this.body = body;
        }

        @Override
        public String toString() {
            return status + " " + body;
        }
    }
}
