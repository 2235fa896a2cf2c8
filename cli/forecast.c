#include "cli/forecast.h"

#include "cli/client.h"
#include "cli/text.h"

Drover__V1__Forecast *forecast_ask(struct cli *cli, const Drover__V1__MigrateGuestRequest *request,
                                   const Drover__V1__MigrateGuestReply *reply, struct error *why)
{
    Drover__V1__MigrateGuestRequest ask = *request;
    ProtobufCMessage *answer = NULL;
    struct client *client = NULL;
    ask.to = reply->destination;
    ask.disk_bytes = reply->disk_bytes;
    if (client_open(cli, NULL, NULL, NULL, &client, why) < 0)
        return NULL;
    client_call(client, "ForecastMove", &ask.base, false, &answer, why);
    client_close(client);
    return (Drover__V1__Forecast *)answer;
}

void forecast_tell(struct cli *cli, const Drover__V1__MigrateGuestRequest *request,
                   const Drover__V1__MigrateGuestReply *reply)
{
    struct error why = {0};
    char text[sizeof(why.text) * 4];
    if (reply->mode == DROVER__V1__MODE__MODE_DEFINITION)
        return;
    Drover__V1__Forecast *f = forecast_ask(cli, request, reply, &why);
    if (f) {
        render_forecast(f, cli->out);
        protobuf_c_message_free_unpacked(&f->base, NULL);
    } else {
        fputs("forecast: not known: ", cli->out);
        fprintf(cli->out, "%s\n", text_clean(why.text, text, sizeof(text)));
    }
}
