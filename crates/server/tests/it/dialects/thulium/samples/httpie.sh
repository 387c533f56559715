echo '{"actions":["CHAT_CONVERSATION_CREATED"],"subscription_url":"https:\/\/example.pl"}' | http -a api_user:api_pass POST https://your-system-name.thulium.com/api/webhooks
